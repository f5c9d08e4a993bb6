import { Readable } from 'node:stream'
import { beforeAll, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { busyboxBlocks } from '../helpers/busybox-blocks.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { tarImage } from '../helpers/tar-image.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
let runtime: Runtime

beforeAll(async () => {
  runtime = await (await lab.store()).open()
})

it('an option that nobody would act on is refused, and no container is left behind', async () => {
  const refused = (option: string) => ({ code: 'ERR_OPTION_UNSUPPORTED', details: { option } })
  expect(await failure(runtime.containers.create({ image: SMALL, restart: 'always' }))).toMatchObject(refused('restart'))
  expect(await failure(runtime.run(SMALL, ['true'], { healthcheck: { command: 'true' } }))).toMatchObject(refused('healthcheck'))
  const mounts = [{ type: 'volume', name: 'data', target: '/data' }] as const
  expect(await failure(runtime.containers.run({ image: SMALL, mounts }))).toMatchObject(refused('mounts'))
  expect(await runtime.containers.list()).toEqual([])
})

it('a terminal is one, and what is written to it is in the log', async () => {
  const container = await runtime.containers.run({
    image: SMALL,
    tty: true,
    command: ['sh', '-c', 'tty; test -t 0 && test -t 1 && echo yes'],
  })
  await container.wait()
  const lines = []
  for await (const { text } of container.logs()) lines.push(text.trim())
  expect(lines).toEqual([expect.stringMatching('^/dev/'), 'yes'])
  await container.remove()
})

it("volumes of an image are the container's own files, or in memory when asked; its health check is not run, and it says so", async () => {
  const layer = tar(...busyboxBlocks('sh', 'cat', 'grep'), { name: 'data/', type: '5' }, { name: 'data/there', content: 'x' })
  const run = { Volumes: { '/data': {} }, Healthcheck: { Test: ['CMD', 'true'] } }
  await runtime.images.load(Readable.from([tarImage('localhost/volumes:1', [layer], run)]))
  const where = ['sh', '-c', 'cat /data/there; grep -c " /data tmpfs " /proc/mounts']
  expect(await runtime.run('localhost/volumes:1', where)).toMatchObject({
    stdout: 'x0\n',
    warnings: ["the image's health check is not run"],
  })
  expect((await runtime.run('localhost/volumes:1', where, { imageVolumes: 'tmpfs', healthcheck: false })).stdout).toBe('x1\n')
  const kept = failure(runtime.run('localhost/volumes:1', where, { imageVolumes: 'anonymous' }))
  expect(await kept).toMatchObject({ code: 'ERR_OPTION_UNSUPPORTED', details: { option: 'imageVolumes' } })
})
