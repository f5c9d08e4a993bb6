import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect } from '@jest/globals'
import { Ajv } from 'ajv'
import type { Container, ContainerSpec, ListContainersOptions, LogEntry, PodlibEvent, Runtime } from '../../src/index.ts'
import { RUNTIME_SPEC_SCHEMAS } from '../helpers/abilities.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const SLEEP = ['sleep', '1000']

describe('a runtime and its containers', () => {
  const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
  let store: RuntimeStore
  let runtime: Runtime

  beforeAll(async () => {
    store = await lab.store()
    runtime = await store.open()
  })

  const create = (spec: Partial<ContainerSpec> = {}) => runtime.containers.create({ image: SMALL, command: SLEEP, ...spec })
  const start = async (command: string, spec: Partial<ContainerSpec> = {}) =>
    runtime.containers.run({ image: SMALL, command: ['sh', '-c', command], ...spec })
  const removeAll = async (...containers: Container[]) => {
    await Promise.all(containers.map((container) => container.remove({ force: true })))
  }
  const texts = async (log: AsyncIterable<LogEntry>) => {
    const all: string[] = []
    for await (const { stream, text } of log) all.push(`${stream} ${text}`)
    return all
  }

  it('tells what it works with', async () => {
    expect(await runtime.info()).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      root: store.root,
      runRoot: store.runRoot,
      ociRuntime: { name: 'crun', path: expect.stringMatching(/^\/.*crun$/), version: expect.stringContaining('crun') },
      monitor: { name: 'conmon', version: expect.stringContaining('conmon') },
      storageDriver: 'overlay',
      host: {
        rootless: false,
        kernel: expect.any(String),
        cpus: expect.any(Number),
        cgroupControllers: expect.arrayContaining(['memory', 'pids']),
      },
      containers: { total: 0, running: 0 },
      images: 1,
    })
  })

  it('tells that there is no monitor, which one-shot containers can do without', async () => {
    const without = await store.open({ conmon: '/nowhere/conmon' })
    expect((await without.info()).monitor).toBeNull()
    expect(await without.run(SMALL, ['echo', 'ran'])).toMatchObject({ stdout: 'ran\n' })
    expect(await failure(without.containers.run({ image: SMALL }))).toMatchObject({ code: 'ERR_PROGRAM_MISSING' })
    expect(await failure(without.run(SMALL, ['true'], { monitor: true }))).toMatchObject({ code: 'ERR_PROGRAM_MISSING' })
    expect(await runtime.containers.list()).toEqual([])
  })

  it('refuses an option that it does not know, and a closed store', async () => {
    expect(await failure(store.open({ rot: '/x' } as object))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining("'rot'"),
    })
    const other = await store.open()
    await other.close()
    await other.close()
    expect(await failure(other.containers.list())).toMatchObject({ code: 'ERR_RUNTIME_CLOSED', kind: 'invalid-state' })
    expect(await failure(other.run(SMALL, ['true']))).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
    expect(await failure(other.images.pull('127.0.0.1:1/x:latest'))).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
  })

  it('knows containers by name, id and the beginning of an id, and a name for one only', async () => {
    const [one, two] = await Promise.all([create({ name: 'one' }), create({ name: 'two' })])
    expect((await runtime.containers.get('one')).id).toBe(one.id)
    expect((await runtime.containers.get(two.id)).name).toBe('two')
    expect((await runtime.containers.get(two.id.slice(0, 12))).id).toBe(two.id)
    expect(await failure(create({ name: 'one' }))).toMatchObject({ code: 'ERR_CONTAINER_EXISTS', kind: 'already-exists' })
    expect(await failure(runtime.containers.get('three'))).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
    expect(await runtime.containers.find('three')).toBeUndefined()
    await removeAll(one)
    const again = await create({ name: 'one' })
    expect(again.id).not.toBe(one.id)
    await removeAll(again, two)
  })

  it('says which containers the beginning of an id can mean', async () => {
    const many = await Promise.all(Array.from({ length: 20 }, () => create()))
    const counts = Map.groupBy(many, ({ id }) => id.slice(0, 1))
    const [digit = '', twins = []] = [...counts].find(([, list]) => list.length > 1) ?? []
    const error = await failure(runtime.containers.get(digit))
    // One digit is too little to be taken for an id at all, or it is too little to tell two apart.
    if (error.code !== 'ERR_CONTAINER_NOT_FOUND')
      expect(error).toMatchObject({
        code: 'ERR_CONTAINER_AMBIGUOUS',
        details: { candidates: expect.arrayContaining(twins.map(({ id }) => id)) },
      })
    await removeAll(...many)
  })

  it('lists the oldest first, by status, labels and image', async () => {
    const first = await create({ labels: { app: 'web', tier: 'a.b=c "d"' } })
    const second = await create({ labels: { app: 'web' } })
    const third = await create()
    await second.start()
    const ids = async (options?: Parameters<Runtime['containers']['list']>[0]) =>
      (await runtime.containers.list(options)).map(({ id }) => id)
    expect(await ids()).toEqual([first.id, second.id, third.id])
    expect(await ids({ labels: { app: 'web' } })).toEqual([first.id, second.id])
    expect(await ids({ labels: { app: 'web', tier: 'a.b=c "d"' } })).toEqual([first.id])
    expect(await ids({ status: ['running'] })).toEqual([second.id])
    expect(await ids({ status: ['configured'], labels: { app: 'web' } })).toEqual([first.id])
    const { id: imageId } = await runtime.images.get(SMALL)
    expect(await ids({ imageId })).toHaveLength(3)
    expect(await ids({ imageId: '0'.repeat(64) })).toEqual([])
    const [summary] = await runtime.containers.list({ labels: { tier: 'a.b=c "d"' } })
    expect(JSON.parse(JSON.stringify(summary))).toMatchObject({
      imageName: SMALL,
      status: 'configured',
      command: SLEEP,
      labels: { app: 'web' },
    })
    await removeAll(first, second, third)
  })

  it('finds containers by patterns of their names and by labels of any value', async () => {
    const made = await Promise.all(['job-1', 'job-2', 'web'].map((name) => create({ name, labels: { [name]: 'x', all: name } })))
    const names = async (filter: ListContainersOptions) => (await runtime.containers.list(filter)).map(({ name }) => name).sort()
    expect(await names({ name: 'job-*' })).toEqual(['job-1', 'job-2'])
    expect(await names({ name: ['job-?', 'w*'], labels: { all: true } })).toEqual(['job-1', 'job-2', 'web'])
    expect(await names({ labels: { 'job-2': true }, status: 'configured' })).toEqual(['job-2'])
    for (const wrong of [{ status: 'dead' }, { name: 5 }])
      expect(await failure(runtime.containers.list(wrong as never))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    await removeAll(...made)
  })

  it('prunes what does not run, as far as labels and time say, and nothing else', async () => {
    const [running, ended, fresh, other, ephemeral] = await Promise.all([
      start('sleep 1000', { name: 'running', labels: { job: '1' } }),
      start('exit 0', { name: 'ended', labels: { job: '2' } }),
      create({ name: 'fresh', labels: { job: '3' } }),
      create({ name: 'other' }),
      create({ name: 'ephemeral', labels: { job: '4' }, ephemeral: true }),
    ])
    await ended.wait()
    expect(await runtime.containers.prune({ until: new Date(0) })).toEqual({ removed: [] })
    const { removed } = await runtime.containers.prune({ labels: { job: true }, until: new Date(Date.now() + 1000) })
    expect(new Set(removed.map(({ id, name }) => `${name} ${id}`))).toEqual(new Set([`ended ${ended.id}`, `fresh ${fresh.id}`]))
    const reason = new Error('never mind')
    await expect(runtime.containers.prune({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(await failure(runtime.containers.prune({ until: 'yesterday' as never }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect((await runtime.containers.list()).map(({ name }) => name).sort()).toEqual(['ephemeral', 'other', 'running'])
    expect((await runtime.containers.prune()).removed).toEqual([{ id: other.id, name: 'other' }])
    await removeAll(running, ephemeral)
  })

  it('tells where the log of a container is, and its cgroup while it has one', async () => {
    const container = await start('echo said; sleep 1000')
    const { logPath, ...info } = await container.inspect()
    expect(info).toMatchObject({ status: 'running', cgroupPath: `${store.cgroupParent}/podlib-${container.id}` })
    await eventually(() => expect(readFileSync(String(logPath), 'utf8')).toContain('said'))
    await container.stop({ timeoutMs: 0 })
    expect(await container.inspect()).toMatchObject({ status: 'exited', logPath })
    const silent = await create({ logDriver: 'none' })
    expect((await silent.inspect()).logPath).toBeNull()
    await removeAll(container, silent)
  })

  it('refuses wrong options and images that are not there when a container is created', async () => {
    for (const wrong of [
      { memory: 'much' },
      { cpus: -1 },
      { name: 'a/b' },
      { name: '' },
      { env: ['no-equals', ''] },
      { network: 'bridge' },
      { cwd: 'relative' },
    ] as object[])
      expect(await failure(create(wrong))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', kind: 'invalid-argument' })
    expect(await failure(create({ image: 'nothing', pull: 'never' }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    expect(await runtime.containers.list()).toEqual([])
  })

  it('keeps an image that a container uses', async () => {
    const container = await create()
    const error = await failure(runtime.images.remove(SMALL))
    expect(error).toMatchObject({ code: 'ERR_IMAGE_IN_USE', kind: 'in-use', details: { containers: [container.id] } })
    expect(await failure(runtime.images.remove(SMALL, { force: true }))).toMatchObject({ code: 'ERR_IMAGE_IN_USE' })
    await container.start()
    await removeAll(container)
  })

  it('gives the lines of both streams, the last of them, and those of a time', async () => {
    const container = await start(
      'echo one; echo two >&2; sleep 0.2; printf three; printf " and"; sleep 0.1; echo " more"; printf "no end"',
    )
    await container.wait()
    const all = ['stdout one', 'stderr two', 'stdout three and more', 'stdout no end']
    const entries: LogEntry[] = []
    for await (const entry of container.logs()) entries.push(entry)
    expect(entries.filter(({ stream }) => stream === 'stderr').map(({ text }) => text)).toEqual(['two'])
    expect(entries.map(({ stream, text }) => `${stream} ${text}`).sort()).toEqual([...all].sort())
    expect(entries.find(({ text }) => text === 'no end')?.partial).toBe(true)
    expect(await texts(container.logs({ tail: 1 }))).toEqual(['stdout no end'])
    expect(await texts(container.logs({ tail: 0 }))).toEqual([])
    const { time } = entries.find(({ text }) => text.startsWith('three')) as LogEntry
    expect(await texts(container.logs({ since: time }))).toEqual(['stdout three and more', 'stdout no end'])
    expect((await texts(container.logs({ until: new Date(time.getTime() - 1) }))).sort()).toEqual(['stderr two', 'stdout one'])
    await removeAll(container)
  })

  it('follows a log to the end of its container, and lets go when it is left', async () => {
    const container = await start('for i in 1 2 3 4 5; do echo $i; sleep 0.1; done')
    const left: string[] = []
    for await (const { text } of container.logs({ follow: true })) {
      left.push(text)
      if (text === '2') break
    }
    expect(left).toEqual(['1', '2'])
    expect(await texts(container.logs({ follow: true, tail: 1 }))).toContain('stdout 5')
    expect(await texts(container.logs({ follow: true }))).toHaveLength(5)
    const endless = await start('while true; do echo tick; sleep 0.05; done')
    const reason = new Error('seen enough')
    const abort = new AbortController()
    setTimeout(() => abort.abort(reason), 150)
    await expect(texts(endless.logs({ follow: true, signal: abort.signal }))).rejects.toBe(reason)
    await removeAll(container, endless)
    expect(await failure(texts(container.logs()))).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
  })

  it('keeps lines of any length and any text', async () => {
    const container = await start('head -c 200000 /dev/zero | tr "\\0" x; echo; echo "äöü€😀"; printf "\\n\\n"')
    await container.wait()
    const lines = (await texts(container.logs())).map((line) => line.slice('stdout '.length))
    expect(lines[0]).toBe('x'.repeat(200_000))
    expect(lines.slice(1)).toEqual(['äöü€😀', '', ''])
    await removeAll(container)
  })

  it('has no log where none was wanted', async () => {
    const container = await start('echo nobody hears', { logDriver: 'none' } as Partial<ContainerSpec>)
    await container.wait()
    expect(await failure(texts(container.logs()))).toMatchObject({ code: 'ERR_CONTAINER_NO_LOGS', kind: 'unsupported' })
    await removeAll(container)
  })

  it('holds a container to its limits and shows what it uses', async () => {
    const container = await start('while true; do :; done', { memory: '64m', pidsLimit: 17, cpus: 0.5 })
    const readings = []
    for await (const reading of container.stats({ intervalMs: 300 })) {
      readings.push(reading)
      if (readings.length === 3) break
    }
    const last = readings.at(-1)
    expect(last).toMatchObject({ memoryLimitBytes: 64 * 2 ** 20, pidsLimit: 17, pids: 1 })
    expect(last?.cpuPercent).toBeGreaterThan(5)
    expect(last?.cpuPercent).toBeLessThan(80)
    expect(last?.memoryBytes).toBeGreaterThan(0)
    const group = `${store.cgroupParent}/podlib-${container.id}`
    const limit = (controller: string, file: string) => readFileSync(join('/sys/fs/cgroup', controller, group, file), 'utf8').trim()
    if (existsSync('/sys/fs/cgroup/memory/tasks')) {
      expect(limit('memory', 'memory.limit_in_bytes')).toBe(String(64 * 2 ** 20))
      expect(limit('pids', 'pids.max')).toBe('17')
      expect(Number(limit('cpu', 'cpu.cfs_quota_us')) / Number(limit('cpu', 'cpu.cfs_period_us'))).toBe(0.5)
    } else {
      expect(limit('', 'memory.max')).toBe(String(64 * 2 ** 20))
      expect(limit('', 'pids.max')).toBe('17')
    }
    expect((await container.exec(['sh', '-c', 'for i in $(seq 30); do sleep 5 & done'])).stderr).toMatch(/fork|resource/i)
    await container.stop({ timeoutMs: 0 })
    expect(await failure(container.stats()[Symbol.asyncIterator]().next())).toMatchObject({ code: 'ERR_CONTAINER_STATE' })
    await removeAll(container)
  })

  it('ends a reading of stats when the container ends', async () => {
    const container = await start('sleep 0.3')
    let readings = 0
    for await (const _ of container.stats({ intervalMs: 50 })) readings++
    expect(readings).toBeGreaterThan(1)
    await removeAll(container)
  })

  it('tells every step of a container as an event, in order, to those who follow and those who ask later', async () => {
    const left = new AbortController()
    const followed: string[] = []
    const follower = (async () => {
      for await (const event of runtime.events({ follow: true, signal: left.signal, filter: { types: ['container'] } }))
        followed.push(event.action)
    })().catch(() => {})
    const container = await start('exit 3', { name: 'told', labels: { a: 'b' } })
    await container.wait()
    await container.stop()
    await container.remove()
    const steps: PodlibEvent[] = []
    for await (const event of runtime.events({ filter: { subjects: ['told'] } })) steps.push(event)
    const actions = steps.map(({ action }) => action)
    expect(actions).toEqual(['create', 'init', 'start', 'died', 'cleanup', 'remove'])
    expect(steps.find(({ action }) => action === 'died')).toMatchObject({
      id: container.id,
      attributes: { exitCode: 3, oomKilled: false, image: SMALL, labels: { a: 'b' } },
    })
    expect(steps.map(({ cursor }) => cursor)).toEqual([...steps.map(({ cursor }) => cursor)].sort((a, b) => a - b))
    await sleep(50)
    left.abort()
    await follower
    expect(followed).toEqual(actions)
    const rest: string[] = []
    for await (const event of runtime.events({ since: steps[3]?.cursor ?? 0 })) rest.push(event.action)
    expect(rest).toEqual(['cleanup', 'remove'])
  })

  it('announces exec, kill, pause and stop', async () => {
    const container = await start('while true; do sleep 0.05; done', { name: 'busy' })
    await container.exec(['sh', '-c', 'exit 5'])
    await container.pause()
    await container.resume()
    await container.kill('SIGWINCH')
    await container.stop({ timeoutMs: 0 })
    await removeAll(container)
    const seen: PodlibEvent[] = []
    for await (const event of runtime.events({ filter: { subjects: [container.id] } })) seen.push(event)
    const actions = seen.map(({ action }) => action)
    expect(actions.filter((action) => !action.startsWith('exec'))).toEqual([
      'create',
      'init',
      'start',
      'pause',
      'unpause',
      'kill',
      'stop',
      'died',
      'cleanup',
      'remove',
    ])
    expect(seen.find(({ action }) => action === 'exec_died')).toMatchObject({ attributes: { exitCode: 5 } })
  })

  const needs = [...RUNTIME_NEEDS, 'schemas of the runtime specification'] as const
  testNeeding(needs, 'writes a config.json that the schema of the runtime specification accepts', async () => {
    const ajv = new Ajv({ strict: false })
    for (const file of readdirSync(RUNTIME_SPEC_SCHEMAS).filter((name) => name.endsWith('.json'))) {
      // Draft 04: the same in the eyes of ajv 8, but for the name of `id`.
      const { $schema: _schema, id: _id, ...schema } = JSON.parse(readFileSync(join(RUNTIME_SPEC_SCHEMAS, file), 'utf8'))
      ajv.addSchema({ ...schema, $id: file }, file)
    }
    const validate = ajv.getSchema('config-schema.json')
    const container = await start('sleep 1000', {
      memory: '64m',
      cpus: 0.5,
      hostname: 'abc',
      capAdd: ['NET_ADMIN'],
      env: { A: 'b' },
      user: 'nobody',
    })
    const config: unknown = JSON.parse(readFileSync(join(store.runRoot, 'bundles', container.id, 'config.json'), 'utf8'))
    expect({ ok: validate?.(config), errors: validate?.errors }).toEqual({ ok: true, errors: null })
    await removeAll(container)
  })
})
