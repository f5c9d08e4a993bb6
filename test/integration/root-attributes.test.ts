import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { type Ability, lacking } from '../helpers/abilities.ts'
import { busyboxBlocks } from '../helpers/busybox-blocks.ts'
import { openPodman, type Podman } from '../helpers/podman.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { tarImages } from '../helpers/tar-image.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const NEEDS: readonly Ability[] = [...RUNTIME_NEEDS, 'podman']
const lab = runtimeLab()
const rootless = rootlessLab()

const root: TarBlock = { name: '/', type: '5', mode: 0o1777, uid: 1000, gid: 1001, mtime: 1_600_000_000 }
const base = busyboxBlocks('sh', 'stat', 'chmod')
/** Images by name, and what `/` is in containers of them. */
const IMAGES = {
  'localhost/own-root:1': [tar(root, ...base)],
  'localhost/upper-root:1': [tar({ ...root, mode: 0o700, uid: 5 }, ...base), tar(root, { name: 'more' })],
}
/** Of these podman 4 makes layers of which nobody can tell any more what the root was like. */
const MORE_IMAGES = {
  'localhost/dotted:1': [tar({ ...root, name: './' }, ...base)],
  'localhost/lower-root:1': [tar(root, ...base), tar({ name: 'more' })],
  'localhost/no-root:1': [tar(...base)],
}
const LOOK = ['stat', '-c', '%a %u:%g', '/']
const EXPECTED = Object.keys(IMAGES).map(() => '1777 1000:1001\n')

let store: RuntimeStore
let runtime: Runtime
let podman: Podman
let archive: string

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  store = await lab.emptyStore()
  runtime = await store.open()
  archive = join(store.directory, 'images.tar')
  writeFileSync(archive, tarImages(IMAGES))
  await runtime.images.load(archive)
  await runtime.images.load(Readable.from([tarImages(MORE_IMAGES)]))
  podman = await openPodman({ ociRuntime: 'crun' })
  await podman.run('load', '--quiet', '--input', archive)
}, 60_000)
afterAll(async () => podman?.[Symbol.asyncDispose]())

async function inTurn(look: (name: string) => Promise<string>): Promise<string[]> {
  const seen: string[] = []
  for (const name of Object.keys(IMAGES)) seen.push(await look(name))
  return seen
}

describe('the root of a container', () => {
  testNeeding(NEEDS, 'is as the uppermost layer with an entry for it says', async () => {
    expect(await inTurn(async (name) => (await runtime.run(name, LOOK)).stdout)).toEqual(EXPECTED)
    for (const name of ['dotted:1', 'lower-root:1']) expect((await runtime.run(name, LOOK)).stdout).toBe(EXPECTED[0])
    expect((await runtime.run('no-root:1', LOOK)).stdout).toBe('755 0:0\n')
  })

  testNeeding([...NEEDS, 'user namespaces'], 'is so in a user namespace of its own', async () => {
    chmodSync(store.directory, 0o711)
    const ids = [{ containerId: 0, hostId: 200_000, size: 65_536 }]
    const userNamespace = { uids: ids, gids: ids }
    expect(await inTurn(async (name) => (await runtime.run(name, LOOK, { userNamespace })).stdout)).toEqual(EXPECTED)
  })

  testNeeding([...NEEDS, ...ROOTLESS_NEEDS], 'is so without privilege', async () => {
    const { user, options } = rootless()
    const copy = join(user.home, 'images.tar')
    writeFileSync(copy, tarImages(IMAGES))
    chownSync(copy, user.uid, user.uid)
    const session = user.session()
    await session.call('open', options)
    for (const name of Object.keys(IMAGES)) await session.call('pull', `docker-archive:${copy}:${name}`)
    expect(await inTurn(async (name) => (await session.call('run', name, LOOK)).stdout)).toEqual(EXPECTED)
    for (const name of Object.keys(IMAGES)) await session.call('removeImage', name)
    await session.call('close')
    await session.end()
  })

  testNeeding(NEEDS, 'stays as the container made it', async () => {
    const container = await runtime.containers.create({ image: 'own-root:1', command: ['sh', '-c', 'stat -c %a /; chmod 711 /'] })
    for (const _ of [1, 2]) {
      await container.start()
      await container.wait()
      await container.stop()
    }
    const lines = []
    for await (const { text } of container.logs()) lines.push(text)
    expect(lines).toEqual(['1777', '711'])
  })

  testNeeding(NEEDS, 'is that of the layer that podman has unpacked, for an image of its store', async () => {
    const podmans = (await podman.output('info', '--format', '{{.Store.GraphRoot}}')).trim()
    const other = await (await lab.emptyStore({ additionalImageStores: [podmans] })).open()
    expect(await inTurn(async (name) => (await other.run(name, LOOK)).stdout)).toEqual(EXPECTED)
  })
})
