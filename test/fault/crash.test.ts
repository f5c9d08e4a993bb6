import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import type { Container, Runtime } from '../../src/index.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { type FakeRegistry, startFakeRegistry } from '../helpers/fake-registry.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const SLEEP = ['sleep', '1000']
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

/** Runs a task in a program that is killed, with its workers, at a step of it. */
async function dieAt(step: string, store: RuntimeStore, task: string, input: object = {}): Promise<void> {
  const config = { ...store.options, task: { image: SMALL, name: 'victim', command: SLEEP, ...input } }
  const child = start('runtime-child.ts', task, JSON.stringify(config), step)
  expect(await child.line()).toBe('open')
  // Killed by itself, before the task returned.
  expect({ line: await child.line(), exitCode: await child.exited }).toEqual({ line: undefined, exitCode: null })
}

/** Opens the store as the next program does, and sees that nothing is on the host that no row knows of. */
async function recovered(store: RuntimeStore): Promise<Runtime> {
  const runtime = await store.open()
  await store.expectNothingUnknown()
  return runtime
}

async function prepared(store: RuntimeStore, prepare: (container: Container) => Promise<void>, command = SLEEP): Promise<void> {
  const runtime = await store.open()
  await prepare(await runtime.containers.create({ image: SMALL, name: 'victim', command }))
  await runtime.close()
}

const victim = (runtime: Runtime) => runtime.containers.get('victim')
const nothing = async () => {}
const started = (container: Container) => container.start()

describe('a program that dies', () => {
  it('right after it created a container leaves it created', async () => {
    const store = await lab.store()
    await dieAt('create: written', store, 'create')
    const runtime = await recovered(store)
    expect(await (await victim(runtime)).inspect()).toMatchObject({ status: 'configured' })
    await (await victim(runtime)).start()
  })

  for (const step of ['init: begun', 'init: mounted', 'init: bundle written', 'init: created', 'start: before the runtime']) {
    it(`in the middle of a start (${step}) leaves a container that can be started`, async () => {
      const store = await lab.store()
      await prepared(store, nothing)
      await dieAt(step, store, 'start')
      const runtime = await recovered(store)
      const container = await victim(runtime)
      expect(['configured', 'created']).toContain((await container.inspect()).status)
      await container.start()
      expect(await container.inspect()).toMatchObject({ status: 'running' })
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
      await container.stop({ timeoutMs: 0 })
      await container.remove()
    })
  }

  it('in the middle of a start leaves its monitor to be killed, and nobody who only looks at the files', async () => {
    const store = await lab.store()
    await prepared(store, nothing)
    await dieAt('init: created', store, 'start')
    const bundles = join(store.runRoot, 'bundles')
    const [id = ''] = readdirSync(bundles)
    const looking = spawn('tail', ['-f', join(bundles, id, 'config.json')], { stdio: 'ignore' })
    const gone = once(looking, 'exit')
    try {
      await (await store.open()).close()
      expect(looking.exitCode ?? looking.signalCode).toBeNull()
    } finally {
      looking.kill()
      await gone
    }
  })

  for (const ociRuntime of ['crun', 'runc'] as const) {
    it(`before it says that a container runs leaves one that runs (${ociRuntime})`, async () => {
      const store = await lab.store({ ociRuntime })
      await prepared(store, nothing)
      await dieAt('start: after the runtime', store, 'start')
      const runtime = await recovered(store)
      const [listed] = await runtime.containers.list()
      expect(listed).toMatchObject({ status: 'running', startedAt: expect.any(Date) })
      const container = await victim(runtime)
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
      await container.kill('KILL')
      expect(await container.wait()).toMatchObject({ exitCode: 137 })
    })

    it(`before it has a container started leaves one that waits for it (${ociRuntime})`, async () => {
      const store = await lab.store({ ociRuntime })
      await prepared(store, nothing)
      await dieAt('start: before the runtime', store, 'start')
      const container = await victim(await recovered(store))
      expect(await container.inspect()).toMatchObject({ status: 'created' })
      await container.start()
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
    })
  }

  for (const step of ['init: created', 'start: after the runtime']) {
    it(`in the middle of a start (${step}) leaves a container that can be removed`, async () => {
      const store = await lab.store()
      await prepared(store, nothing)
      await dieAt(step, store, 'start')
      const runtime = await recovered(store)
      await (await victim(runtime)).remove({ force: true })
      expect(await runtime.containers.list()).toEqual([])
    })
  }

  for (const step of ['stop: requested', 'stop: signal sent', 'cleanup: deleted', 'alone cleanup: deleted', 'cleanup: unmounted']) {
    it(`in the middle of a stop (${step}) leaves a container that can be stopped`, async () => {
      const store = await lab.store()
      await prepared(store, started, ['sh', '-c', 'trap "" TERM; while true; do sleep 0.05; done'])
      await dieAt(step, store, 'stop')
      const runtime = await recovered(store)
      const container = await victim(runtime)
      await container.stop({ timeoutMs: 0 })
      expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 137 })
      await container.start()
      expect(await container.inspect()).toMatchObject({ status: 'running' })
    })
  }

  it('in the middle of a stop leaves a frozen container that can be stopped', async () => {
    const store = await lab.store()
    await prepared(store, async (container) => {
      await container.start()
      await container.pause()
    })
    await dieAt('stop: requested', store, 'stop')
    const container = await victim(await recovered(store))
    await container.stop({ timeoutMs: 500 })
    expect(await container.inspect()).toMatchObject({ status: 'exited' })
  })

  it('between freezing a container and saying so leaves one that can be paused, and resumed', async () => {
    for (const ociRuntime of ['crun', 'runc'] as const) {
      const store = await lab.store({ ociRuntime })
      await prepared(store, started)
      await dieAt('pause: frozen', store, 'pause')
      const container = await victim(await recovered(store))
      await container.pause()
      expect(await container.inspect()).toMatchObject({ status: 'paused' })
      await container.resume()
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
    }
  })

  it('between thawing a container and saying so leaves one that can be resumed', async () => {
    for (const ociRuntime of ['crun', 'runc'] as const) {
      const store = await lab.store({ ociRuntime })
      await prepared(store, async (container) => {
        await container.start()
        await container.pause()
      })
      await dieAt('resume: thawed', store, 'resume')
      const container = await victim(await recovered(store))
      await container.resume()
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
    }
  })

  for (const step of ['remove: begun', 'remove: storage removed']) {
    it(`in the middle of a removal (${step}) has removed it when the store is next opened`, async () => {
      const store = await lab.store()
      await prepared(store, async (container) => {
        await container.start()
        await container.stop({ timeoutMs: 0 })
      })
      await dieAt(step, store, 'remove')
      const runtime = await recovered(store)
      expect(await runtime.containers.list()).toEqual([])
      await runtime.containers.create({ image: SMALL, name: 'victim' })
    })
  }

  for (const [task, step] of [
    ['run', 'run: begun'],
    ['run', 'init: mounted'],
    ['run', 'init: bundle written'],
    ['run', 'remove: begun'],
    ['monitoredRun', 'init: created'],
    ['monitoredRun', 'start: after the runtime'],
    ['monitoredRun', 'cleanup: deleted'],
    ['startEphemeral', 'start: after the runtime'],
  ] as const) {
    it(`in the middle of a one-shot container (${task}, ${step}) leaves nothing of it`, async () => {
      const store = await lab.store()
      await dieAt(step, store, task, { command: ['sh', '-c', 'sleep 0.2'] })
      const runtime = await recovered(store)
      expect(await runtime.containers.list()).toEqual([])
      expect(await runtime.run(SMALL, ['echo', 'again'])).toMatchObject({ stdout: 'again\n' })
    })
  }

  it('with a process in a container takes that along, with all that it started', async () => {
    const store = await lab.store()
    await prepared(store, started)
    await dieAt('nowhere', store, 'spawnAndDie')
    const container = await victim(await recovered(store))
    await eventually(async () => expect((await container.exec(['ps', '-o', 'args'])).stdout).not.toContain('4444'))
    expect(await container.inspect()).toMatchObject({ status: 'running' })
  })

  it('in the middle of a one-shot container (running) leaves nothing of it', async () => {
    const store = await lab.store()
    await dieAt('nowhere', store, 'runAndDie')
    expect(await (await recovered(store)).containers.list()).toEqual([])
  })

  for (const step of ['remove image: written', 'remove image: layer marked', 'remove image: layer removed']) {
    it(`in the middle of removing an image (${step}) has removed it, and what is left can be used or pruned`, async () => {
      const store = await lab.store()
      await dieAt(step, store, 'removeImage')
      const runtime = await recovered(store)
      expect(await runtime.images.list()).toEqual([])
      await runtime.images.prune()
    })
  }
})

describe('a program that dies as soon as a call has returned', () => {
  for (const [task, prepare, after] of [
    ['create', undefined, { status: 'configured' }],
    ['start', nothing, { status: 'running' }],
    ['stop', started, { status: 'exited', exitCode: 137 }],
    ['remove', nothing, undefined],
  ] as const) {
    it(`has lost nothing of it (${task})`, async () => {
      const store = await lab.store()
      if (prepare) await prepared(store, prepare, ['sh', '-c', 'trap "" TERM; while true; do sleep 0.05; done'])
      const config = { ...store.options, task: { image: SMALL, name: 'victim', command: SLEEP } }
      const child = start('runtime-child.ts', task, JSON.stringify(config), 'returned')
      expect([await child.line(), await child.line()]).toEqual(['open', expect.stringContaining('result')])
      expect(await child.exited).toBeNull()
      const runtime = await recovered(store)
      const container = await runtime.containers.find('victim')
      if (after === undefined) expect(container).toBeUndefined()
      else expect(await container?.inspect()).toMatchObject(after)
    })
  }
})

describe('a program that dies in the middle of a pull', () => {
  const layers = ['a', 'b', 'c'].map((name) => tar({ name, content: name.repeat(50_000) }))

  async function withRegistry(work: (registry: FakeRegistry, image: string, store: RuntimeStore) => Promise<void>): Promise<void> {
    const registry = await startFakeRegistry()
    try {
      registry.addImage('app', { tag: 'v1', layers })
      await work(registry, `${registry.host}/app:v1`, await lab.emptyStore({ insecureRegistries: [registry.host] }))
    } finally {
      await registry.close()
    }
  }

  const blobRequests = ({ requests }: FakeRegistry) => requests.filter(({ path }) => path.includes('/blobs/')).length

  for (const step of ['pull: manifest', 'pull: staged', 'pull: published:2', 'pull: layers ready', 'pull: committed']) {
    it(`leaves a store that the same pull completes (${step})`, () =>
      withRegistry(async (registry, image, store) => {
        await dieAt(step, store, 'pull', { image })
        const runtime = await recovered(store)
        expect(await runtime.images.list()).toHaveLength(step === 'pull: committed' ? 1 : 0)
        const before = blobRequests(registry)
        const pulled = await runtime.images.pull(image)
        expect((await pulled.inspect()).layers).toHaveLength(3)
        // The config is asked for again; layers that were whole are not.
        if (step === 'pull: layers ready' || step === 'pull: committed') expect(blobRequests(registry) - before).toBe(1)
        await runtime.images.remove(image)
        await runtime.close()
      }))
  }

  it('or as soon as it has returned has lost nothing', () =>
    withRegistry(async (_, image, store) => {
      const child = start('runtime-child.ts', 'pull', JSON.stringify({ ...store.options, task: { image } }), 'returned')
      expect([await child.line(), await child.line()]).toEqual(['open', expect.stringContaining('result')])
      expect(await child.exited).toBeNull()
      expect((await (await (await recovered(store)).images.get(image)).inspect()).layers).toHaveLength(3)
    }))

  it('leaves a store that the same pull completes (killed while a layer came)', () =>
    withRegistry(async (registry, image, store) => {
      // The config is small enough to come as a whole.
      registry.fault(/blobs/, { stallAfter: 20_000, times: 4 })
      const child = start('runtime-child.ts', 'pull', JSON.stringify({ ...store.options, task: { image } }))
      expect(await child.line()).toBe('open')
      while (blobRequests(registry) < 3) await new Promise((resolve) => setTimeout(resolve, 20))
      await new Promise((resolve) => setTimeout(resolve, 300))
      child.kill('SIGKILL')
      await child.exited
      registry.fault(/blobs/, {})
      const runtime = await recovered(store)
      expect((await (await runtime.images.pull(image)).inspect()).layers).toHaveLength(3)
    }))
})
