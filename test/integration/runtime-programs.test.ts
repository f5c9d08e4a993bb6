import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect } from '@jest/globals'
import { findProgram } from '../../src/host/programs.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import { outputOf } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

interface Task {
  readonly image?: string
  readonly name?: string
  readonly command?: readonly string[]
  readonly count?: number
}

/** Another program on a store: what it says about its task. */
function program(store: RuntimeStore, task: string, input: Task = {}) {
  const child = start(
    'runtime-child.ts',
    task,
    JSON.stringify({ ...store.options, task: { image: SMALL, command: ['sleep', '1000'], name: 'shared', ...input } }),
  )
  const answer = async (): Promise<{ result?: unknown; error?: { code: string; message: string } }> => {
    for (let line = await child.line(); line !== undefined; line = await child.line()) if (line.startsWith('{')) return JSON.parse(line)
    throw new Error('the program said nothing')
  }
  const opened = async () => expect(await child.line()).toBe('open')
  return { ...child, answer, opened }
}

describe('an OCI runtime that is given by its path', () => {
  const OTHERS: readonly [name: string, make: (path: string) => void][] = [
    ['crun-next', (path) => copyFileSync(findProgram('crun'), path)],
    ['contained', (path) => writeFileSync(path, `#!/bin/sh\nexec ${findProgram('runc')} "$@"\n`, { mode: 0o755 })],
  ]
  for (const [name, make] of OTHERS) {
    it(`runs containers whatever it is called: ${name}`, async () => {
      const store = await lab.store()
      const path = join(store.directory, name)
      make(path)
      const runtime = await store.open({ ociRuntime: path })
      expect((await runtime.info()).ociRuntime).toMatchObject({ name, path })
      expect(await runtime.run(SMALL, ['echo', 'attached'])).toMatchObject({ exitCode: 0, stdout: 'attached\n' })
      const container = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'] })
      expect(await container.exec(['echo', 'inside'])).toMatchObject({ stdout: 'inside\n' })
      await container.stop({ timeoutMs: 0 })
      await container.remove()
    })
  }
})

describe('a program that uses podlib', () => {
  it('ends by itself within a second of its last line, whatever still runs in its containers', async () => {
    const store = await lab.store()
    const child = program(store, 'leaveEarly')
    await child.opened()
    expect(await child.answer()).toEqual({ result: null })
    expect(await child.line()).toMatch(/^closed/)
    const closed = Date.now()
    expect(await child.exited).toBe(0)
    expect(Date.now() - closed).toBeLessThan(1_000)
    const runtime = await store.open()
    expect((await (await runtime.containers.get('runs-on')).inspect()).status).toBe('running')
  })

  it('is changed by the import in nothing', async () => {
    const look = `
      const state = () => JSON.stringify({
        listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
        emit: process.emit === Object.getPrototypeOf(process).emit || String(process.emit), umask: process.umask(), cwd: process.cwd(), title: process.title,
        globals: Object.getOwnPropertyNames(globalThis).length + Object.getOwnPropertySymbols(globalThis).length,
        env: Object.keys(process.env), prepareStackTrace: typeof Error.prepareStackTrace,
        patched: [Promise.prototype.then, setTimeout, fetch, process.exit, process.kill, process.reallyExit].map(String),
      })
      const read = []
      const before = state()
      process.env = new Proxy(process.env, { get: (env, name) => { read.push(String(name)); return env[name] } })
      await import('./src/index.ts')
      const handles = process.getActiveResourcesInfo().filter((name) => !/PipeWrap|TTYWrap|FSReqPromise/.test(name))
      console.log(JSON.stringify({ same: state() === before || [before, state()], read: read.filter((name) => /PODLIB|XDG|HOME|PATH|PROXY|DOCKER|REGISTRY/i.test(name)), handles }))`
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', '--input-type=module', '-e', look], {
      cwd: process.cwd(),
    })
    expect(JSON.parse(stdout)).toEqual({ same: true, read: [], handles: [] })
  })

  it('leaves its containers to the exit command when it has ended', async () => {
    const store = await lab.store()
    const child = program(store, 'startAnew', { command: ['sh', '-c', 'sleep 0.5; exit 6'] })
    await child.opened()
    await child.exited
    // Nobody has the store open: only the monitor's exit command can clean up.
    await store.expectNothingLeaked()
    await eventually(async () => {
      const runtime = await store.open()
      const container = await runtime.containers.get('shared')
      expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 6 })
      await runtime.close()
    })
  })

  it('leaves them to an exit command that knows where its own conmon is', async () => {
    const store = await lab.store()
    const conmon = join(store.directory, 'our-conmon')
    copyFileSync(findProgram('conmon'), conmon)
    chmodSync(conmon, 0o755)
    const task = { image: SMALL, command: ['sh', '-c', 'sleep 0.5; exit 6'], name: 'shared' }
    // In a mount namespace where no conmon is in any of the usual places.
    const hidden = ['-m', 'sh', '-c', 'mount --bind /dev/null "$0" && exec "$@"', findProgram('conmon')]
    const child = [process.execPath, '--no-warnings', 'test/helpers/runtime-child.ts', 'startAnew']
    const said = await outputOf('unshare', [...hidden, ...child, JSON.stringify({ ...store.options, conmon, task })])
    expect(said).toContain('closed')
    // Before anybody opens the store.
    await eventually(() => expect(readdirSync(join(store.runRoot, 'bundles'))).toEqual([]))
    const runtime = await store.open()
    expect(await (await runtime.containers.get('shared')).inspect()).toMatchObject({ status: 'exited', exitCode: 6 })
  })

  it('takes an ephemeral container along when it is killed', async () => {
    const store = await lab.store()
    const child = program(store, 'startEphemeral')
    await child.opened()
    expect(await child.answer()).toEqual({ result: expect.any(String) })
    child.kill('SIGKILL')
    await child.exited
    const runtime = await store.open()
    expect(await runtime.containers.list()).toEqual([])
  })
})

describe('two programs on one store', () => {
  it('fetch each layer once between them', async () => {
    const registry = await startFakeRegistry()
    try {
      const layers = ['a', 'b', 'c'].map((name) => tar({ name, content: name.repeat(100_000) }))
      const { layers: blobs } = registry.addImage('app', { tag: 'v1', layers })
      // Slow enough for both to want the same at the same time.
      for (const { digest } of blobs) registry.fault(new RegExp(digest), { delayMs: 300 })
      const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
      const programs = [1, 2].map(() => program(store, 'pull', { image: `${registry.host}/app:v1` }))
      const answers = await Promise.all(programs.map(({ answer }) => answer()))
      expect(answers[0]).toEqual({ result: expect.stringMatching(/^[0-9a-f]{64}$/) })
      expect(answers[1]).toEqual(answers[0])
      for (const { digest } of blobs)
        expect(registry.requests.filter(({ path, method }) => method === 'GET' && path.includes(digest))).toHaveLength(1)
      await Promise.all(programs.map(({ exited }) => exited))
    } finally {
      await registry.close()
    }
  })

  it('can give a name to one container only', async () => {
    const store = await lab.store()
    const answers = await Promise.all([1, 2, 3].map(() => program(store, 'create', { name: 'contested' }).answer()))
    expect(answers.filter(({ result }) => result !== undefined)).toHaveLength(1)
    for (const { error } of answers) if (error) expect(error.code).toBe('ERR_CONTAINER_EXISTS')
    const runtime = await store.open()
    expect(await runtime.containers.list()).toHaveLength(1)
  })

  it('lose no update when both create and remove', async () => {
    const store = await lab.store()
    const programs = ['one', 'two'].map((name) => program(store, 'createAndRemove', { name, count: 100 }))
    for (const { answer } of programs) expect(await answer()).toEqual({ result: null })
    const runtime = await store.open()
    expect(await runtime.containers.list()).toEqual([])
    const actions: string[] = []
    for await (const { action } of runtime.events({ filter: { types: ['container'] } })) actions.push(action)
    expect([actions.filter((action) => action === 'create').length, actions.filter((action) => action === 'remove').length]).toEqual([
      200, 200,
    ])
  })

  it('see what the other does: one starts, the other waits, stops and removes', async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const container = await runtime.containers.run({
      image: SMALL,
      command: ['sh', '-c', 'trap "exit 8" TERM; while true; do sleep 0.05; done'],
      name: 'shared',
    })
    const waiting = program(store, 'wait')
    await waiting.opened()
    expect(await program(store, 'stop').answer()).toEqual({ result: null })
    expect(await waiting.answer()).toEqual({ result: { exitCode: 8, signal: null, oomKilled: false } })
    expect(await container.wait()).toMatchObject({ exitCode: 8 })
    expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 8 })
    expect(await program(store, 'remove').answer()).toEqual({ result: null })
    expect(await failure(container.inspect())).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
    expect(await container.wait()).toMatchObject({ exitCode: 8 })
  })

  it("leave each other's one-shot containers to whoever runs them", async () => {
    const store = await lab.store()
    const [own, other] = [await store.open(), await store.open()]
    const bystander = await other.containers.run({ image: SMALL, command: ['sleep', '1000'] })
    bystander.wait().catch(() => {})
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, i) => own.run(SMALL, ['sh', '-c', `echo ${i}; exit ${i}`], { monitor: true })),
    )
    expect(results.map(({ exitCode, stdout }) => [exitCode, stdout])).toEqual(results.map((_, i) => [i, `${i}\n`]))
    await bystander.remove({ force: true })
    expect(await own.containers.list()).toEqual([])
  })

  it('do not take what the other is about to start for the remains of a crash', async () => {
    const store = await lab.store()
    const [first] = await Promise.all([
      program(store, 'startAnew').answer(),
      ...[1, 2, 3].map(() => program(store, 'create', { name: `other-${Math.random()}` }).answer()),
    ])
    expect(first).toEqual({ result: expect.any(String) })
    const runtime = await store.open()
    expect((await (await runtime.containers.get('shared')).inspect()).status).toBe('running')
  })
})
