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

it('refuses options that a verb does not have, before anything happens', async () => {
  const bad = { tiemout: 5 } as never
  const { id } = container
  const { images, containers, registries, trust } = runtime
  const image = await images.get(SMALL)
  const verbs: Record<string, () => unknown> = {
    start: () => container.start(bad),
    stop: () => container.stop(bad),
    kill: () => container.kill('SIGTERM', bad),
    pause: () => container.pause(bad),
    resume: () => container.resume(bad),
    wait: () => container.wait(bad),
    remove: () => container.remove(bad),
    exec: () => container.exec(['true'], bad),
    spawn: () => container.spawn(['true'], bad),
    logs: () => firstOf(container.logs(bad)),
    stats: () => firstOf(container.stats(bad)),
    'containers.list': () => containers.list(bad),
    'containers.run': () => containers.run({ image: SMALL }, bad),
    'container options': () => containers.create({ image: SMALL, ...(bad as object) }),
    'container options has': () => runtime.run(SMALL, ['true'], bad),
    'images.pull': () => images.pull(SMALL, bad),
    'images.load': () => images.load('/nowhere', bad),
    'images.import': () => images.import('/nowhere', bad),
    'images.build': () => images.build(bad),
    'images.save': () => images.save(SMALL, { path: '/nowhere/a', ...(bad as object) }),
    'images.push': () => images.push(SMALL, undefined, bad),
    'images.copy': () => images.copy(SMALL, SMALL, bad),
    'images.search': () => images.search('x', bad),
    'images.get': () => images.get(SMALL, bad),
    'images.list': () => images.list(bad),
    'images.prune': () => images.prune(bad),
    'images.diskUsage': () => images.diskUsage(bad),
    'images.verify': () => images.verify(SMALL, bad),
    'images.diff': () => image.diff(bad),
    'images.remove': () => image.remove(bad),
    'registries.login': () => registries.login('127.0.0.1:1', { username: 'a', password: 'b', ...(bad as object) }),
    'registries.logout': () => registries.logout('127.0.0.1:1', bad),
    'registries.logoutAll': () => registries.logoutAll(bad),
    'registries.list': () => registries.list(bad),
    'registries.explain': () => registries.explain(SMALL, bad),
    'registries.tags': () => registries.tags(SMALL, bad).next(),
    'trust.evaluate': () => trust.evaluate(SMALL, bad),
    events: () => firstOf(runtime.events(bad)),
    'events: filter': () => firstOf(runtime.events({ filter: bad })),
  }
  for (const [name, verb] of Object.entries(verbs)) {
    const error = await failure((async () => verb())())
    expect([name, error.code, error.message]).toEqual([name, 'ERR_INVALID_ARGUMENT', expect.stringContaining("tiemout'")])
    expect(error.message).toContain(name)
  }
  expect(await (await containers.get(id)).inspect()).toMatchObject({ status: 'running' })
})

it('refuses values that an option cannot have', async () => {
  const wrong: readonly (() => Promise<unknown>)[] = [
    () => container.exec('ls' as never),
    () => container.exec(['ls', 5] as never),
    () => container.exec(['true'], { encoding: 'hex' as never }),
    () => container.exec(['true'], { maxOutputBytes: Number.NaN }),
    () => container.exec(['true'], { input: 5 as never }),
    () => container.spawn(['true'], { stdin: 'inherit' as never }),
    () => firstOf(container.logs({ tail: -1 })),
    () => firstOf(container.logs({ since: 'yesterday' as never })),
    () => runtime.run(SMALL, ['true'], { encoding: 'hex' as never }),
    () => runtime.run(SMALL, ['true'], { pull: 'sometimes' as never }),
  ]
  for (const verb of wrong) expect([String(verb), await failure(verb())]).toMatchObject([String(verb), { code: 'ERR_INVALID_ARGUMENT' }])
})
