import { readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect } from '@jest/globals'
import { readProcess } from '../../src/host/proc.ts'
import { failure } from '../helpers/registry-world.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { eventually } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import type { UserSession } from '../helpers/unprivileged-user.ts'

const lab = rootlessLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(ROOTLESS_NEEDS, name, work)
const sessions: UserSession[] = []

async function open(): Promise<UserSession> {
  const session = lab().user.session()
  sessions.push(session)
  await session.call('open', lab().options)
  return session
}

/** A session with a container that runs. */
async function withContainer(): Promise<{ session: UserSession; id: string }> {
  const session = await open()
  await session.call('pull', lab().small)
  return { session, id: await session.call('start', { image: lab().small, command: ['sleep', '1000'] }) }
}

const namespaces = (pid: number) => ['user', 'mnt'].map((type) => readlinkSync(`/proc/${pid}/ns/${type}`))
const isGone = (pid: number) => (readProcess(pid)?.state ?? 'Z') === 'Z'
const workers = (session: UserSession) =>
  lab()
    .user.processes()
    .filter(({ pid, command }) => command === 'podlib-worker' && readProcess(pid)?.parent === session.pid)

async function killed(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await eventually(() => expect(isGone(pid)).toBe(true))
}

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end()
  await lab()?.expectNothingLeft()
})

describe('the namespaces of a store', () => {
  it('are shared by all its runtimes, and end with the last', async () => {
    const [first, second] = [await open(), await open()]
    await Promise.all([first.call('info'), second.call('info')])
    const pause = lab().pausePid()
    expect(
      lab()
        .user.processes()
        .filter(({ command }) => command.endsWith('sleep infinity')),
    ).toHaveLength(1)
    for (const session of [first, second]) expect(namespaces(workers(session)[0]?.pid as number)).toEqual(namespaces(pause))
    await first.call('close')
    expect(isGone(pause)).toBe(false)
    await second.call('close')
    await eventually(() => expect(isGone(pause)).toBe(true))
  })

  it('stay while a container runs, and lead the next runtime to it', async () => {
    const { session, id } = await withContainer()
    const pause = lab().pausePid()
    await session.call('close')
    expect(isGone(pause)).toBe(false)
    const next = await open()
    expect(await next.call('exec', id, ['echo', 'still here'])).toMatchObject({ stdout: 'still here\n' })
    expect(lab().pausePid()).toBe(pause)
    await next.call('remove', id)
    await next.call('close')
    await eventually(() => expect(isGone(pause)).toBe(true))
  })

  it('end with a container that outlived every program', async () => {
    const session = await open()
    await session.call('pull', lab().small)
    const id = await session.call('start', { image: lab().small, command: ['sleep', '0.5'] })
    const pause = lab().pausePid()
    await session.kill()
    await lab().expectNothingLeft()
    expect(isGone(pause)).toBe(true)
    const next = await open()
    expect(await next.call('inspect', id)).toMatchObject({ status: 'exited', exitCode: 0 })
    await next.call('remove', id)
  })

  it('are kept by another process when the pause process is killed', async () => {
    const { session, id } = await withContainer()
    const before = namespaces(lab().pausePid())
    await killed(lab().pausePid())
    // The worker that is there goes on; another program has to find its way.
    expect(await session.call('exec', id, ['echo', 'one'])).toMatchObject({ stdout: 'one\n' })
    await session.kill()
    const next = await open()
    expect(await next.call('exec', id, ['echo', 'two'])).toMatchObject({ stdout: 'two\n' })
    expect(namespaces(lab().pausePid())).toEqual(before)
    await next.call('remove', id)
  })

  it('are made anew when nothing kept them', async () => {
    const session = await open()
    await session.call('pull', lab().small)
    await session.call('run', lab().small, ['true'])
    const [pause, [worker]] = [lab().pausePid(), workers(session)]
    for (const pid of lab()
      .user.processes()
      .filter(({ command }) => command === 'podlib-worker')
      .map(({ pid }) => pid))
      await killed(pid)
    await killed(pause)
    // The application hears of it in a turn of its event loop.
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(await session.call('run', lab().small, ['echo', 'again'])).toMatchObject({ stdout: 'again\n' })
    expect(lab().pausePid()).not.toBe(pause)
    expect(workers(session)[0]?.pid).not.toBe(worker?.pid)
  })

  it('a record of another process with the same number is not believed', async () => {
    const session = await open()
    await session.call('info')
    const path = join(lab().runRoot, 'pause.json')
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    await session.kill()
    await killed(lab().pausePid())
    writeFileSync(path, JSON.stringify({ ...record, pid: process.pid }))
    const next = await open()
    await next.call('info')
    expect(lab().pausePid()).not.toBe(process.pid)
  })
})

describe('a killed worker', () => {
  it('is replaced, and containers under a monitor do not notice', async () => {
    const { session, id } = await withContainer()
    const [worker] = workers(session)
    await killed(worker?.pid as number)
    await eventually(async () => expect(await session.call('exec', id, ['echo', 'on'])).toMatchObject({ stdout: 'on\n' }))
    expect(await session.call('inspect', id)).toMatchObject({ status: 'running' })
    await session.call('remove', id)
  })

  it('takes its attached container along, and nothing of it is left', async () => {
    const session = await open()
    await session.call('pull', lab().small)
    const run = failure(session.call('run', lab().small, ['sleep', '1000']))
    const sleeping = () =>
      lab()
        .user.processes()
        .some(({ command }) => command === 'sleep 1000')
    await eventually(() => expect(sleeping()).toBe(true))
    const [worker] = workers(session)
    await killed(worker?.pid as number)
    expect(await run).toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    await eventually(() => expect(sleeping()).toBe(false))
    expect(await session.call('list')).toEqual([])
  })
})

it('a killed program leaves its containers to the next', async () => {
  const { session, id } = await withContainer()
  const run = failure(session.call('run', lab().small, ['sleep', '2000']))
  await eventually(() =>
    expect(
      lab()
        .user.processes()
        .some(({ command }) => command === 'sleep 2000'),
    ).toBe(true),
  )
  await session.kill()
  await run.catch(() => {})
  const next = await open()
  expect(await next.call('list')).toEqual([{ id, status: 'running' }])
  await next.call('stop', id, { timeoutMs: 0 })
  await next.call('remove', id)
  await next.call('close')
})
