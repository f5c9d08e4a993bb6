import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from '@jest/globals'
import type { Container, Runtime } from '../../src/index.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { cgroupDirectories, fifos } from '../helpers/runtime-traces.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const SLEEP = ['sleep', '1000']
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

/** Workers that this process has started. */
function workers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/cmdline`).startsWith('podlib-worker'))
    .map(Number)
    .filter((pid) => new RegExp(`\\) [^Z] ${process.pid} `).test(read(`/proc/${pid}/stat`)))
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

async function killWorkers(): Promise<void> {
  await eventually(() => expect(workers()).not.toEqual([]))
  for (const pid of workers()) process.kill(pid, 'SIGKILL')
  // What is called before this process has noticed fails like what was running.
  await eventually(() => expect(workers()).toEqual([]))
  await sleep(50)
}

/** A `crun` of the store's own: the real one, with something done to one of its verbs. */
function disturbedCrun(store: RuntimeStore, script: string, verb = 'create'): string {
  const path = join(store.directory, 'crun')
  writeFileSync(path, `#!/bin/sh\nfor word in "$@"; do [ "$word" = ${verb} ] && { ${script}; }; done\nexec crun "$@"\n`)
  chmodSync(path, 0o755)
  return path
}

async function runningFor(runtime: Runtime, spec: { readonly ociRuntime?: string } = {}): Promise<Container> {
  return runtime.containers.run({ image: SMALL, command: SLEEP, name: 'victim', ...spec })
}

describe('a worker that is killed', () => {
  it('in the middle of a pull fails the pull, leaves nothing of it, and the next one succeeds', async () => {
    const registry = await startFakeRegistry()
    try {
      const { layers } = registry.addImage('app', { tag: 'v1', layers: [tar({ name: 'a', content: 'a'.repeat(200_000) })] })
      registry.fault(new RegExp(layers[0]?.digest ?? ''), { stallAfter: 100_000, times: 1 })
      const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
      const runtime = await store.open()
      const pull = failure(runtime.images.pull(`${registry.host}/app:v1`))
      await eventually(() => expect(readdirSync(join(store.root, 'staging'))).toHaveLength(1))
      await killWorkers()
      expect(await pull).toMatchObject({ code: 'ERR_HOST_WORKER_DIED', kind: 'unavailable' })
      expect([readdirSync(join(store.root, 'staging')), fifos(store)]).toEqual([[], []])
      await runtime.images.pull(`${registry.host}/app:v1`)
      expect(await runtime.images.list()).toHaveLength(1)
    } finally {
      await registry.close()
    }
  })

  it('in the middle of a start undoes what was made, and the next start succeeds', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, `touch ${store.directory}/begun; sleep 3`) })
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    const start = failure(container.start())
    await eventually(() => expect(existsSync(join(store.directory, 'begun'))).toBe(true))
    await killWorkers()
    expect(await start).toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    expect(await container.inspect()).toMatchObject({ status: 'configured' })
    disturbedCrun(store, 'true')
    await container.start()
    expect(await container.inspect()).toMatchObject({ status: 'running' })
    await container.remove({ force: true })
    await store.expectNothingLeaked()
  })

  it('in the middle of a one-shot container removes that all the same', async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const run = failure(runtime.run(SMALL, SLEEP))
    await eventually(() => expect(cgroupDirectories(store).filter((path) => /podlib-[0-9a-f]{64}$/.test(path))).not.toEqual([]))
    await killWorkers()
    expect(await run).toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    expect(await runtime.containers.list()).toEqual([])
    expect(await runtime.run(SMALL, ['echo', 'again'])).toMatchObject({ stdout: 'again\n' })
    await store.expectNothingLeaked()
  })

  it('does not take containers along', async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const container = await runningFor(runtime)
    await killWorkers()
    expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
    const waiting = container.wait()
    await container.stop({ timeoutMs: 0 })
    expect(await waiting).toMatchObject({ exitCode: 137 })
  })
})

/** In a script: the worker is who calls the OCI runtime. */
const [ITSELF, WORKER] = ['kill -9 $$', 'kill -9 $PPID']

describe('a start that nobody answers, because the OCI runtime or the worker was killed,', () => {
  const actions = async (runtime: Runtime) => {
    const actions: string[] = []
    for await (const { action } of runtime.events({ filter: { types: ['container'] } })) actions.push(action)
    return actions
  }

  for (const [who, script] of [
    ['the runtime, before it did it', ITSELF],
    ['the runtime, when it had done it', `crun "$@"; sleep 0.1; ${ITSELF}`],
    ['the worker, before it was done', WORKER],
    ['the worker, when it was done', `crun "$@"; sleep 0.1; ${WORKER}; exit 0`],
  ] as const) {
    it(`has started the container all the same, once (${who})`, async () => {
      const store = await lab.store()
      const once = `[ -e ${store.directory}/once ] || { touch ${store.directory}/once; ${script}; }`
      const runtime = await store.open({ ociRuntime: disturbedCrun(store, once, 'start') })
      const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
      await container.start()
      expect(await container.inspect()).toMatchObject({ status: 'running' })
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
      expect(await actions(runtime)).toEqual(['create', 'init', 'start', 'exec', 'exec_died'])
    })
  }

  it('twice fails, and leaves a container that can be started', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, ITSELF, 'start') })
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    expect(await failure(container.start())).toMatchObject({ code: 'ERR_OCI_RUNTIME' })
    expect(await container.inspect()).toMatchObject({ status: 'created' })
    disturbedCrun(store, 'true')
    await container.start()
    expect(await container.inspect()).toMatchObject({ status: 'running' })
  })

  it('is not one whose answer is that the program cannot be started: that is the end of the container, and announced', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, 'echo "no such thing" >&2; exit 1', 'start') })
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    expect(await failure(container.start())).toMatchObject({ code: 'ERR_OCI_RUNTIME' })
    expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 127 })
    expect(await actions(runtime)).toEqual(['create', 'init', 'died', 'cleanup'])
  })
})

describe('a stop in the middle of which something is killed', () => {
  for (const [who, verb, script] of [
    ['the runtime that kills', 'kill', ITSELF],
    ['the runtime that deletes', 'delete', ITSELF],
    ['the worker while the runtime kills', 'kill', WORKER],
    ['the worker while the runtime deletes', 'delete', WORKER],
  ] as const) {
    it(`can be done again (${who})`, async () => {
      const store = await lab.store()
      const runtime = await store.open({ ociRuntime: disturbedCrun(store, 'true') })
      const container = await runningFor(runtime)
      disturbedCrun(store, script, verb)
      await container.stop({ timeoutMs: 0 }).catch((error: unknown) => expect(error).toMatchObject({ name: 'PodlibError' }))
      disturbedCrun(store, 'true')
      await container.stop({ timeoutMs: 0 })
      expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 137 })
      await container.start()
      await container.remove({ force: true })
      await store.expectNothingLeaked()
    })
  }
})

describe('a monitor that is killed', () => {
  it('between the making and the start of its container leaves one that can be started, and removed', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, ITSELF, 'start') })
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    await failure(container.start())
    const { monitorPid } = (await container.inspect()) as { monitorPid: number }
    process.kill(monitorPid, 'SIGKILL')
    disturbedCrun(store, 'true')
    await container.start()
    expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
    await container.remove({ force: true })
    await store.expectNothingLeaked()
  })

  it('in the middle of a removal does not keep its container', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, 'true') })
    const container = await runningFor(runtime)
    const { monitorPid } = (await container.inspect()) as { monitorPid: number }
    disturbedCrun(store, `kill -9 ${monitorPid}`, 'kill')
    await container.remove({ force: true })
    expect(await runtime.containers.list()).toEqual([])
    await store.expectNothingLeaked()
  })

  for (const when of ['while somebody waits', 'while nobody has the store open']) {
    it(`leaves its container running, and its end unknown (${when})`, async () => {
      const store = await lab.store()
      let runtime = await store.open()
      let container = await runningFor(runtime)
      const { pid, monitorPid } = (await container.inspect()) as { pid: number; monitorPid: number }
      process.kill(monitorPid, 'SIGKILL')
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
      if (when === 'while somebody waits') {
        const waiting = container.wait()
        process.kill(pid, 'SIGKILL')
        expect(await waiting).toEqual({ exitCode: -1, signal: null, oomKilled: false })
      } else {
        await runtime.close()
        process.kill(pid, 'SIGKILL')
        runtime = await store.open()
        container = await runtime.containers.get('victim')
      }
      await container.stop()
      expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: -1, error: expect.stringContaining('monitor') })
      await container.start()
      expect(await container.inspect()).toMatchObject({ status: 'running', error: null })
    })
  }

  it('while it makes the container fails the start and leaves nothing', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, 'kill -9 $PPID; sleep 0.2') })
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    expect(await failure(container.start())).toMatchObject({ code: 'ERR_MONITOR_FAILED' })
    disturbedCrun(store, 'true')
    await container.start()
    await container.remove({ force: true })
    await store.expectNothingLeaked()
  })
})

describe('an OCI runtime that is killed', () => {
  it('at any moment of creating a container leaves nothing, or the container', async () => {
    const store = await lab.store()
    const runtime = await store.open({ ociRuntime: disturbedCrun(store, 'true') })
    for (const ms of [0, 2, 4, 6, 8, 12, 20]) {
      disturbedCrun(store, `crun "$@" & sleep 0.0${String(ms).padStart(2, '0')}; kill -9 $!; wait $!; exit $?`)
      const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
      await container.start().catch((error: unknown) => expect(error).toMatchObject({ name: 'PodlibError' }))
      disturbedCrun(store, 'true')
      await container.start().catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_CONTAINER_RUNNING' }))
      expect(await container.inspect()).toMatchObject({ status: 'running' })
      await container.remove({ force: true })
    }
    await store.expectNothingLeaked()
  })
})
