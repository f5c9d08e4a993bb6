import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { lgetxattr } from '../../src/host/sys/libc.ts'
import { type Digest, digestOf } from '../../src/spec/digest.ts'
import type { StagedLayer, StorageDriver } from '../../src/storage/storage-driver.ts'
import { tar } from '../helpers/tar-builder.ts'

export interface StorageBench {
  readonly driver: StorageDriver
  /** A directory of the test's own, on a disk. */
  readonly work: string
}

const ID = 'c'.repeat(64)

/** What every storage driver does. `bench` gives a fresh, empty one. */
export function storageDriverContract(bench: () => Promise<StorageBench>): void {
  test('stages a layer and says what it proved to be', async () => {
    const { driver, work } = await bench()
    const bytes = layer({ 'etc/name': 'first' })
    const staged = await stage(driver, work, bytes)
    expect(staged).toMatchObject({ diffId: digestOf(bytes), blobDigest: digestOf(bytes), blobSize: bytes.length, size: bytes.length })
  })

  test('refuses a layer that is not what it should be, and keeps nothing of it', async () => {
    const { driver, work } = await bench()
    const path = join(work, 'blob')
    writeFileSync(path, layer({ a: '1' }))
    const wrong: Digest = `sha256:${'0'.repeat(64)}`
    await expect(driver.stage({ path, diffId: wrong })).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    expect(filesUnder(work)).toEqual([path])
  })

  test('shows the layers of a container as one tree, the upper over the lower, and lets it write', async () => {
    const { driver, work } = await bench()
    const stack = await publishAll(driver, work, [layer({ 'etc/name': 'lower', 'etc/kept': 'yes' }), layer({ 'etc/name': 'upper' })])
    const { path } = await driver.mount({ containerId: ID, layers: stack, volatile: false })
    expect(driver.rootfs(ID)).toEqual({ path })
    expect([read(path, 'etc/name'), read(path, 'etc/kept')]).toEqual(['upper', 'yes'])
    writeFileSync(join(path, 'etc/name'), 'mine')
    await driver.unmount(ID)
    const again = await driver.mount({ containerId: ID, layers: stack, volatile: false })
    expect(read(again.path, 'etc/name')).toBe('mine')
    await driver.unmount(ID)
  })

  test('gives each container its own writes over the same layers', async () => {
    const { driver, work } = await bench()
    const stack = await publishAll(driver, work, [layer({ name: 'base' })])
    const [one, two] = ['1'.repeat(64), '2'.repeat(64)]
    const first = await driver.mount({ containerId: one, layers: stack, volatile: true })
    const second = await driver.mount({ containerId: two, layers: stack, volatile: true })
    writeFileSync(join(first.path, 'name'), 'changed')
    expect(read(second.path, 'name')).toBe('base')
    for (const id of [one, two]) await driver.unmount(id)
  })

  test('publishes a layer again where one is left from a publication that was cut short', async () => {
    const { driver, work } = await bench()
    const bytes = layer({ name: 'same' })
    const [first, second] = [await stage(driver, work, bytes), await stage(driver, work, bytes)]
    await driver.publish(first)
    await driver.publish(second)
    expect(existsSync(second.location)).toBe(false)
  })

  test('mounts a stack that has a layer twice: it shows in its upper place', async () => {
    const { driver, work } = await bench()
    const twice = layer({ 'd/x': 'twice' })
    const [first, other] = await publishAll(driver, work, [twice, layer({ 'd/x': 'between', y: 'y' })])
    const { path } = await driver.mount({ containerId: ID, layers: [first, other, first] as Digest[], volatile: false })
    expect([readFileSync(join(path, 'd/x'), 'utf8'), readFileSync(join(path, 'y'), 'utf8')]).toEqual(['twice', 'y'])
    await driver.unmount(ID, { remove: true })
  })

  test('does not let one stack change what another shows of a layer that both have', async () => {
    const { driver, work } = await bench()
    const folder = (uid: number, mode: number) => tar({ name: 'd/', type: '5', uid, mode }, { name: `d/${uid}` })
    const [mine, theirs, shared] = (await publishAll(driver, work, [folder(1, 0o700), folder(2, 0o777), tar({ name: 'd/x' })])) as Digest[]
    const stacks = [
      [mine, shared],
      [theirs, shared],
    ] as Digest[][]
    for (const stack of stacks) await driver.seal(stack)
    const shown: unknown[] = []
    for (const stack of stacks) {
      const { path } = await driver.mount({ containerId: ID, layers: stack, volatile: false })
      const { uid, mode } = statSync(join(path, 'd'))
      shown.push([uid, mode & 0o777])
      await driver.unmount(ID, { remove: true })
    }
    expect(shown).toEqual([
      [1, 0o700],
      [2, 0o777],
    ])
    const before = everythingUnder(work).length
    await driver.removeLayer(shared as Digest)
    expect(before - everythingUnder(work).length).toBeGreaterThan(stacks.length)
    expect(everythingUnder(work).filter((path) => path.includes(shared?.slice(7) as string))).toEqual([])
  })

  test('shows the root as the uppermost layer that has an entry for it, until the container changes it', async () => {
    const { driver, work } = await bench()
    const root = (mode: number, value: string) =>
      tar({ name: './', type: '5', mode, uid: 7, gid: 8, mtime: 1_500_000_000, pax: [['SCHILY.xattr.user.mark', value]] }, { name: value })
    const stack = await publishAll(driver, work, [root(0o700, 'low'), root(0o1777, 'high'), tar({ name: 'x' })])
    await driver.seal(stack)
    const look = (path: string) => {
      const { mode, uid, gid, mtimeMs } = statSync(path)
      return [(mode & 0o7777).toString(8), uid, gid, mtimeMs, lgetxattr(path, 'user.mark')?.toString()]
    }
    const { path } = await driver.mount({ containerId: ID, layers: stack, volatile: false })
    expect(look(path)).toEqual(['1777', 7, 8, 1_500_000_000_000, 'high'])
    chmodSync(path, 0o711)
    chownSync(path, 1, 1)
    await driver.unmount(ID)
    await driver.mount({ containerId: ID, layers: stack, volatile: false })
    expect(look(path).slice(0, 3)).toEqual(['711', 1, 1])
    await driver.unmount(ID, { remove: true })
  })

  test('ends mounts that lie one over the other, as programs that died one after the other leave them', async () => {
    const { driver, work } = await bench()
    const layers = await publishAll(driver, work, [layer({ 'etc/name': 'mine' })])
    for (let i = 0; i < 3; i++) await driver.mount({ containerId: ID, layers, volatile: false })
    await driver.unmount(ID)
    expect(readdirSync(driver.rootfs(ID).path)).toEqual([])
  })

  test('discards, unmounts and removes as often as asked', async () => {
    const { driver, work } = await bench()
    const staged = await stage(driver, work, layer({ a: '1' }))
    for (let turn = 0; turn < 2; turn++) await driver.removeLayer(staged)
    const [diffId] = await publishAll(driver, work, [layer({ b: '2' })])
    await driver.mount({ containerId: ID, layers: [diffId as Digest], volatile: false })
    for (let turn = 0; turn < 2; turn++) await driver.unmount(ID)
    for (let turn = 0; turn < 2; turn++) await driver.unmount(ID, { remove: true })
    for (let turn = 0; turn < 2; turn++) await driver.removeLayer(diffId as Digest)
    await driver.seal([])
  })

  test('sweeps what a process that is gone was staging, and leaves alone what a living one is', async () => {
    const { driver, work } = await bench()
    const staged = await stage(driver, work, layer({ a: '1' }))
    const abandoned = staged.location.replace(/\/\d+-\d+-/, '/4194305-1-')
    mkdirSync(join(abandoned, 'fs'), { recursive: true })
    await driver.sweep()
    expect([existsSync(abandoned), existsSync(staged.location)]).toEqual([false, true])
  })

  test('an abort while staging leaves nothing', async () => {
    const { driver, work } = await bench()
    const path = join(work, 'fifo')
    execFileSync('mkfifo', [path])
    // Somebody who may still write: without, the end would have come.
    const writer = openSync(path, constants.O_RDWR)
    const controller = new AbortController()
    const staging = driver.stage({ path }, { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 200)
    await expect(staging).rejects.toThrow('enough')
    expect(filesUnder(work)).toEqual([path])
    closeSync(writer)
  })
}

function layer(files: Readonly<Record<string, string>>): Buffer {
  const directories = [...new Set(Object.keys(files).flatMap((name) => (name.includes('/') ? [`${name.split('/')[0]}/`] : [])))]
  return tar(
    ...directories.map((name) => ({ name, type: '5', mode: 0o755 })),
    ...Object.entries(files).map(([name, text]) => ({ name, content: text, mode: 0o644 })),
  )
}

function stage(driver: StorageDriver, work: string, bytes: Buffer): Promise<StagedLayer> {
  const path = join(work, `blob-${createHash('sha256').update(bytes).digest('hex').slice(0, 8)}`)
  writeFileSync(path, bytes)
  return driver.stage({ path, blob: { digest: digestOf(bytes), size: bytes.length }, diffId: digestOf(bytes) })
}

async function publishAll(driver: StorageDriver, work: string, layers: readonly Buffer[]): Promise<Digest[]> {
  const staged = await Promise.all(layers.map((bytes) => stage(driver, work, bytes)))
  for (const one of staged) await driver.publish(one)
  return staged.map(({ diffId }) => diffId)
}

function read(root: string, name: string): string {
  return readFileSync(join(root, name), 'utf8')
}

function everythingUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true }).map(String)
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
}
