import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { openDatabase } from '../../src/state/database.ts'
import { listLayers } from '../../src/state/layer-table.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { dirtyPages } from '../helpers/dirty-pages.ts'
import { type FakeRegistry, startFakeRegistry } from '../helpers/fake-registry.ts'
import { runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { cgroupDirectories } from '../helpers/runtime-traces.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const SLEEP = ['sleep', '1000']
const it = (name: string, work: () => Promise<void>) => testNeeding([...RUNTIME_NEEDS, 'cachestat'], name, work)

describe('a host that is started anew', () => {
  it('has nothing of before: containers are ended, can be started, and what was not on the disk is gone', async () => {
    const store = await lab.store()
    let runtime = await store.open()
    for (const name of ['running', 'paused', 'exited', 'configured', 'ephemeral']) {
      const container = await runtime.containers.create({ image: SMALL, command: SLEEP, name, ephemeral: name === 'ephemeral' })
      if (name !== 'configured') await container.start()
      if (name === 'paused') await container.pause()
      if (name === 'exited') await container.stop({ timeoutMs: 0 })
    }
    const wrote = await (await runtime.containers.get('running')).exec(['sh', '-c', 'echo kept > /kept'])
    expect(wrote).toMatchObject({ exitCode: 0 })
    await runtime.close()
    await startAnew(store)

    runtime = await store.open()
    const statuses = Object.fromEntries((await runtime.containers.list()).map(({ name, status }) => [name, status]))
    expect(statuses).toEqual({ running: 'exited', paused: 'exited', exited: 'exited', configured: 'configured' })
    const codes = Object.keys(statuses).map(async (name) => [name, (await (await runtime.containers.get(name)).wait()).exitCode])
    // Nobody knows how far those had come that the restart has ended.
    expect(Object.fromEntries(await Promise.all(codes))).toEqual({ running: -1, paused: -1, exited: 137, configured: 0 })
    const events: string[] = []
    for await (const { action } of runtime.events({ filter: { types: ['system'] } })) events.push(action)
    expect(events).toEqual(['refresh'])
    await store.expectNothingLeaked()

    runtime = await store.open()
    for (const name of ['running', 'paused', 'configured']) await (await runtime.containers.get(name)).start()
    expect(await (await runtime.containers.get('running')).exec(['cat', '/kept'])).toMatchObject({ stdout: 'kept\n' })
    await runtime.images.get(SMALL)
  })

  it('does not trust layers that were never known to be on the disk', async () => {
    const registry = await startFakeRegistry()
    try {
      const layers = ['a', 'b'].map((name) => tar({ name, content: name.repeat(1000) }))
      const { layers: blobs } = registry.addImage('app', { tag: 'v1', layers })
      const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
      const published = () => expect(readdirSync(join(store.root, 'layers'))).toHaveLength(1)
      // The second layer is refused when the first one is in the store.
      const refuse = (response: ServerResponse) => void eventually(published).finally(() => response.writeHead(404).end())
      registry.fault(new RegExp(blobs[1]?.digest ?? ''), { answer: (_, response) => refuse(response) })
      let runtime = await store.open()
      expect(await failure(runtime.images.pull(`${registry.host}/app:v1`))).toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' })
      published()
      // As a power failure may leave a layer: there, but without its content.
      for (const layer of readdirSync(join(store.root, 'layers'))) writeFileSync(join(store.root, 'layers', layer, 'fs/a'), '')
      await runtime.close()
      await startAnew(store)
      runtime = await store.open()
      expect(readdirSync(join(store.root, 'layers'))).toEqual([])
      registry.fault(/blobs/, {})
      await runtime.images.pull(`${registry.host}/app:v1`)
      const [hexOfA = ''] = readdirSync(join(store.root, 'layers')).filter((hex) => existsSync(join(store.root, 'layers', hex, 'fs/a')))
      expect(readFileSync(join(store.root, 'layers', hexOfA, 'fs/a'), 'latin1')).toBe('a'.repeat(1000))
    } finally {
      await registry.close()
    }
  })
})

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** A registry with an image of two layers, whose files `a` and `b` are worth looking at, and a store that may pull it. */
async function withRegistry(work: (store: RuntimeStore, image: string, registry: FakeRegistry) => Promise<void>): Promise<void> {
  const registry = await startFakeRegistry()
  try {
    registry.addImage('app', { tag: 'v1', layers: ['a', 'b'].map((name) => tar(file(name))) })
    await work(await lab.emptyStore({ insecureRegistries: [registry.host] }), `${registry.host}/app:v1`, registry)
  } finally {
    await registry.close()
  }
}

const file = (name: string): TarBlock => ({ name, content: name.repeat(100_000) })

/** Pulls in a program that is killed when the image is in the store. */
async function pullAndDie(task: 'pull' | 'pullDurably', store: RuntimeStore, image: string): Promise<void> {
  const child = start('runtime-child.ts', task, JSON.stringify({ ...store.options, task: { image } }), 'pull: committed')
  expect(await child.line()).toBe('open')
  expect(await child.line()).toBeUndefined()
  await child.exited
}

/** Where the files of the image's layers are. */
function contents(store: RuntimeStore): string[] {
  const trees = readdirSync(join(store.root, 'layers')).map((hex) => join(store.root, 'layers', hex, 'fs'))
  return trees.flatMap((tree) => readdirSync(tree).map((name) => join(tree, name)))
}

/** Does to layers that were not on the disk what a power cut may do: they are there, without their content. */
function cutPower(store: RuntimeStore): void {
  for (const path of contents(store)) writeFileSync(path, '')
}

async function layerStates(store: RuntimeStore): Promise<string[]> {
  const db = await openDatabase(join(store.root, 'podlib.db'))
  const states = listLayers(db).map(({ state }) => state)
  db.close()
  return states
}

/** The rows say so, and it is true. */
async function expectOnDisk(store: RuntimeStore): Promise<void> {
  expect(await layerStates(store)).toEqual(['ready', 'ready'])
  expect(contents(store).map(dirtyPages)).toEqual([0, 0])
}

async function expectWhole(runtime: Runtime, image: string): Promise<void> {
  const { layers } = await runtime.images.verify(image, { layers: true })
  expect(layers).toHaveLength(2)
  expect(layers?.filter(({ intact }) => !intact)).toEqual([])
}

describe('an image that was pulled', () => {
  it('is on the disk when the runtime is closed', () =>
    withRegistry(async (store, image) => {
      const runtime = await store.open()
      await runtime.images.pull(image)
      await runtime.close()
      await expectOnDisk(store)
    }))

  it('by a program that died at once is brought to the disk by the next', () =>
    withRegistry(async (store, image) => {
      await pullAndDie('pull', store, image)
      expect(await layerStates(store)).toEqual(['staging', 'staging'])
      const runtime = await store.open()
      expect(await runtime.images.list()).toHaveLength(1)
      await runtime.close()
      await expectOnDisk(store)
    }))

  it('and is not on the disk when the power is cut is gone as a whole, and can be pulled again', () =>
    withRegistry(async (store, image) => {
      await pullAndDie('pull', store, image)
      cutPower(store)
      await startAnew(store)
      const runtime = await store.open()
      expect(await runtime.images.list()).toEqual([])
      expect(contents(store)).toEqual([])
      const events: string[] = []
      for await (const { action, name } of runtime.events({ filter: { types: ['image'] } })) events.push(`${action} ${name}`)
      expect(events).toEqual([`pull ${image}`, `remove ${image}`])
      await runtime.images.pull(image)
      await expectWhole(runtime, image)
    }))

  it('and is asked for once more, durably, is on the disk although nothing is pulled', () =>
    withRegistry(async (store, image) => {
      const runtime = await store.open()
      await runtime.images.pull(image)
      await runtime.images.pull(image, { policy: 'missing', durable: true })
      await expectOnDisk(store)
    }))

  it('durably is there after a power cut, although the program died at once', () =>
    withRegistry(async (store, image) => {
      await pullAndDie('pullDurably', store, image)
      expect(contents(store).map(dirtyPages)).toEqual([0, 0])
      await startAnew(store)
      const runtime = await store.open()
      await expectWhole(runtime, image)
    }))

  it('and is lost in a power cut together with a container that was made of it is whole again after a pull: the container is kept', () =>
    withRegistry(async (store, image) => {
      let runtime = await store.open()
      await runtime.images.pull(image)
      await runtime.containers.create({ image, name: 'kept', command: SLEEP })
      await runtime.containers.create({ image, name: 'ephemeral', command: SLEEP, ephemeral: true })
      await runtime.close()
      await forgetThatItIsOnDisk(store)
      cutPower(store)
      await startAnew(store)

      runtime = await store.open()
      expect(contents(store)).toEqual([])
      const container = await runtime.containers.get('kept')
      expect(await failure(container.start())).toMatchObject({
        code: 'ERR_LAYER_NOT_FOUND',
        message: expect.stringContaining('pull the image again'),
      })
      // It is missing, although its name is not.
      await runtime.images.pull(image, { policy: 'missing' })
      await expectWhole(runtime, image)
      // The image has no program in it: what counts is that it comes so far.
      expect(await failure(container.start())).toMatchObject({ code: 'ERR_OCI_COMMAND_NOT_FOUND' })
      await container.remove()
    }))
})

/** Makes the rows say what they say until the disk has the image. */
async function forgetThatItIsOnDisk(store: RuntimeStore): Promise<void> {
  const db = await openDatabase(join(store.root, 'podlib.db'))
  await db.transaction(() => db.run("UPDATE layers SET state = 'staging'"))
  db.close()
}

/** Does to a store that nobody has open what a reboot does: ends processes and mounts, empties the run root, changes the boot id. */
async function startAnew(store: RuntimeStore): Promise<void> {
  const cgroups = cgroupDirectories(store)
  const monitors = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/cmdline`).includes(store.runRoot))
  for (const pid of monitors) process.kill(Number(pid), 'SIGKILL')
  for (const path of cgroups) {
    if (path.includes('freezer') && existsSync(join(path, 'freezer.state'))) writeFileSync(join(path, 'freezer.state'), 'THAWED')
    for (const pid of read(join(path, 'cgroup.procs')).split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL')
  }
  await runProgram('sh', ['-c', `for m in $(grep -o '${store.runRoot}[^ ]*' /proc/self/mounts); do umount "$m"; done`])
  await eventually(() => {
    for (const path of cgroups) if (existsSync(path)) rmdirSync(path)
  })
  rmSync(store.runRoot, { recursive: true })
  mkdirSync(store.runRoot)
  const db = await openDatabase(join(store.root, 'podlib.db'))
  await db.transaction(() => {
    db.run("UPDATE meta SET value = 'another' WHERE key = 'bootId'")
    db.run("UPDATE containers SET boot_id = 'another'")
  })
  db.close()
}
