import { beforeAll, expect } from '@jest/globals'
import type { Container, Runtime } from '../../src/index.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
let runtime: Runtime
let container: Container

beforeAll(async () => {
  runtime = await (await lab.store()).open()
  container = await runtime.containers.run({ image: SMALL, command: ['sh', '-c', 'trap "exit 7" TERM; while :; do sleep 0.05; done'] })
})

const firstOf = (readings: AsyncIterable<unknown>) => readings[Symbol.asyncIterator]().next()

it('lets a process have more time than a timer of Node can count', async () => {
  expect(await container.exec(['echo', 'done'], { timeout: '600h' })).toMatchObject({ stdout: 'done\n' })
  expect(await runtime.run(SMALL, ['echo', 'done'], { timeout: '600h' })).toMatchObject({ stdout: 'done\n' })
  expect(await runtime.run(SMALL, ['echo', 'done'], { timeout: '600h', monitor: true })).toMatchObject({ stdout: 'done\n' })
})

it('refuses times that are none before anything happens', async () => {
  for (const time of [Infinity, Number.NaN, -1, 'soon', '30', null, {}].map((value) => value as never)) {
    for (const verb of [
      container.stop({ timeoutMs: time }),
      container.exec(['true'], { timeout: time }),
      container.spawn(['true'], { timeout: time }),
      firstOf(container.stats({ intervalMs: time })),
      runtime.run('127.0.0.1:1/nothing:latest', ['true'], { timeout: time }),
      runtime.run('127.0.0.1:1/nothing:latest', ['true'], { timeout: time, monitor: true }),
    ])
      expect(await failure(verb)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  }
  expect(await failure(firstOf(container.stats({ intervalMs: 0 })))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  expect(await container.inspect()).toMatchObject({ status: 'running' })
})

it('takes times as numbers of milliseconds and as text with a unit', async () => {
  expect(await failure(container.exec(['sleep', '10'], { timeout: '0.1s' }))).toMatchObject({ code: 'ERR_EXEC_TIMEOUT' })
  const begin = Date.now()
  let readings = 0
  for await (const _ of container.stats({ intervalMs: '50ms' })) if (++readings === 3) break
  expect(Date.now() - begin).toBeGreaterThanOrEqual(99)
  const patient = await runtime.containers.run({
    image: SMALL,
    command: ['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done'],
  })
  for await (const { text } of patient.logs({ follow: true })) if (text === 'ready') break
  await patient.stop({ timeoutMs: '1000h' })
  expect(await patient.wait()).toMatchObject({ exitCode: 7 })
  await patient.remove()
})
