import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { listContainers } from '../../src/state/container-listing.ts'
import { openDatabase } from '../../src/state/database.ts'
import { listLayers, updateLayer } from '../../src/state/layer-table.ts'
import { busyboxBlocks } from '../helpers/busybox-blocks.ts'
import { type FailingDisk, failingDisk } from '../helpers/failing-disk.ts'
import { type FakeRegistry, startFakeRegistry } from '../helpers/fake-registry.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const newDirectory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
/** More than EarlySync waits for, and not to be compressed. */
const CONTENT = randomBytes(40 * 2 ** 20)

let disk: FailingDisk
let registry: FakeRegistry
let store: RuntimeStore
let runtime: Runtime
beforeEach(async () => {
  disk = await failingDisk()
  registry = await startFakeRegistry()
  registry.addImage('app', { tag: 'v1', layers: [tar({ name: 'small', content: 'small' }), tar({ name: 'content', content: CONTENT })] })
})
afterEach(async () => {
  await runtime.close()
  await registry.close()
  await disk[Symbol.asyncDispose]()
})
const app = () => `${registry.host}/app:v1`
const open = async () => {
  store = await lab.emptyStore({ root: join(disk.path, 'root'), insecureRegistries: [registry.host] })
  runtime = await store.open()
}
const REFUSED = { code: 'ERR_SYNC_FAILED', details: { systemCode: expect.stringMatching(/^(EIO|ENOSPC)$/) } }

describe('a disk that refuses what was written', () => {
  it('fails a pull that waits for it, and the next one fetches everything anew', async () => {
    await open()
    await disk.refuse()
    expect(await failure(runtime.images.pull(app(), { durable: true }))).toMatchObject(REFUSED)
    disk.accept()
    await runtime.images.pull(app(), { durable: true })
    expectOnDisk()
  })

  it('takes an image that was pulled already, and says so', async () => {
    await open()
    await disk.refuse()
    const { id } = await runtime.images.pull(app())
    await eventually(async () => expect(await imageEvents()).toEqual(['pull', 'remove', 'sync-error']))
    expect(await runtime.images.list()).toEqual([])
    disk.accept()
    const again = await runtime.images.pull(app(), { durable: true })
    expect(again.id).toBe(id)
    expectOnDisk()
  })

  it('leaves an image to the containers that need it: what runs goes on, but nothing starts until it is pulled again', async () => {
    await open()
    registry.addImage('busybox', { tag: 'v1', layers: [tar(...busyboxBlocks('sleep', 'cat'), { name: 'said', content: 'kept' })] })
    const container = await runtime.containers.create({ image: `${registry.host}/busybox:v1`, command: ['sleep', '1000'] })
    await container.start()
    await forgetThatLayersAreOnDisk()
    await disk.refuse()
    await runtime.images.pull(app())
    await eventually(async () => expect(await imageEvents()).toContain('sync-error'))
    await runtime.close()
    runtime = await store.open()
    const { id } = container
    const kept = await runtime.containers.get(id)
    expect(await kept.exec(['cat', '/said'])).toMatchObject({ stdout: 'kept' })
    await kept.stop({ timeoutMs: 0 })
    expect(await failure(kept.start())).toMatchObject({
      code: 'ERR_LAYER_NOT_FOUND',
      message: expect.stringContaining('pull the image again'),
    })
    disk.accept()
    await runtime.images.pull(`${registry.host}/busybox:v1`)
    await kept.start()
    expect(await kept.exec(['cat', '/said'])).toMatchObject({ stdout: 'kept' })
  })

  it('fails a call that promises more, and keeps what was done; the next one brings both to the disk', async () => {
    await open()
    await runtime.images.pull(app(), { durable: true })
    // More than the database has room for.
    const options = { image: app(), command: ['true'], labels: { long: 'x'.repeat(2 ** 20) } }
    await disk.refuse()
    expect(await failure(runtime.containers.create({ ...options, name: 'first' }))).toMatchObject({
      message: expect.stringContaining('what was done is kept'),
    })
    disk.accept()
    await runtime.containers.create({ ...options, name: 'second' })
    // What the disk has of the database, as if power were cut now.
    const copy = newDirectory()
    for (const name of ['podlib.db', 'podlib.db-wal']) writeFileSync(join(copy, name), disk.read(join(disk.path, 'root', name)))
    const db = await openDatabase(join(copy, 'podlib.db'))
    expect(listContainers(db).map(({ name }) => name)).toEqual(['first', 'second'])
    db.close()
  })
})

/** As it is when they have just been pulled. */
async function forgetThatLayersAreOnDisk(): Promise<void> {
  const db = await openDatabase(join(disk.path, 'root/podlib.db'))
  await db.transaction(() => {
    for (const { diffId } of listLayers(db)) updateLayer(db, diffId, { state: 'staging' })
  })
  db.close()
}

/** Its layers are there, whatever the memory has. */
function expectOnDisk(): void {
  const layers = join(disk.path, 'root/layers')
  const [content] = readdirSync(layers)
    .map((hex) => join(layers, hex, 'fs/content'))
    .filter(existsSync)
  expect(disk.read(content as string).equals(CONTENT)).toBe(true)
}

async function imageEvents(): Promise<string[]> {
  const actions: string[] = []
  for await (const { action } of runtime.events({ filter: { types: ['image'] } })) actions.push(action)
  return actions
}
