import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect } from '@jest/globals'
import { type Container, isPodlibError, type Runtime } from '../../src/index.ts'
import type { Ability } from '../helpers/abilities.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const SLEEP = ['sleep', '1000']
const IGNORES_TERM = ['sh', '-c', 'trap "" TERM; echo ready; while true; do sleep 0.1; done']

describe.each(['crun', 'runc'] as const)('containers with %s', (ociRuntime) => {
  const needs: Ability[] = [...RUNTIME_NEEDS, ociRuntime]
  const it = (name: string, work: () => Promise<void>) => testNeeding(needs, name, work)
  let runtime: Runtime

  beforeAll(async () => {
    runtime = await (await lab.store({ ociRuntime })).open()
  })

  const started = async (command: readonly string[] = SLEEP): Promise<Container> => runtime.containers.run({ image: SMALL, command })
  const statusOf = async (container: Container) => (await container.inspect()).status

  it('is configured, running, exited and gone, and says so at each step', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    expect(await statusOf(container)).toBe('configured')
    await container.start()
    const running = await container.inspect()
    expect(running).toMatchObject({ status: 'running', ociRuntime: expect.stringMatching(ociRuntime), attached: false })
    const { pid } = running as { pid: number }
    // The process is there before it has become the program.
    await eventually(() => expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toBe('sleep\x001000\x00'))
    await container.stop({ timeoutMs: 0 })
    expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 137, exitSignal: 'SIGKILL', oomKilled: false })
    await container.remove()
    expect(await failure(container.inspect())).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND', kind: 'not-found' })
    expect(await runtime.containers.find(container.id)).toBeUndefined()
  })

  it('tells what this host cannot give once it was started, and each thing once', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: ['true'], unified: { 'memory.low': '0' } })
    expect((await container.inspect()).warnings).toEqual([])
    const { cgroupVersion } = (await runtime.info()).host
    for (const _ of [1, 2]) {
      await container.start()
      await container.wait()
      await container.stop()
      expect((await container.inspect()).warnings).toEqual(cgroupVersion === 1 ? [expect.stringContaining('cgroup v1')] : [])
    }
    await container.remove()
  })

  it('starts again after its end, with what it wrote, and a log of both lives', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: ['sh', '-c', 'echo life >> /lives; cat /lives'] })
    for (const _ of [1, 2]) {
      await container.start()
      expect(await container.wait()).toEqual({ exitCode: 0, signal: null, oomKilled: false })
      await container.stop()
    }
    const lines = []
    for await (const { text } of container.logs()) lines.push(text)
    expect(lines).toEqual(['life', 'life', 'life'])
    await container.remove()
  })

  it('does not wait for one that was never started, and says with podman that nothing has failed', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    expect(await container.wait()).toEqual({ exitCode: 0, signal: null, oomKilled: false })
    expect((await container.inspect()).status).toBe('configured')
    await container.remove()
  })

  it('refuses what a status does not allow, and leaves the container as it was', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    const refusedWith = (code: string, work: Promise<unknown>) => expect(work).rejects.toMatchObject({ code, kind: 'invalid-state' })
    // configured
    await refusedWith('ERR_CONTAINER_STATE', container.pause())
    await refusedWith('ERR_CONTAINER_STATE', container.resume())
    await refusedWith('ERR_CONTAINER_STATE', container.kill())
    await refusedWith('ERR_CONTAINER_STATE', container.exec(['true']))
    await container.stop()
    expect(await statusOf(container)).toBe('configured')
    // running
    await container.start()
    const { pid } = (await container.inspect()) as { pid: number }
    await refusedWith('ERR_CONTAINER_RUNNING', container.start())
    await refusedWith('ERR_CONTAINER_STATE', container.resume())
    await refusedWith('ERR_CONTAINER_STATE', container.remove())
    expect(await container.inspect()).toMatchObject({ status: 'running', pid })
    // paused
    await container.pause()
    expect(await statusOf(container)).toBe('paused')
    await refusedWith('ERR_CONTAINER_STATE', container.pause())
    await refusedWith('ERR_CONTAINER_STATE', container.start())
    await refusedWith('ERR_CONTAINER_STATE', container.exec(['true']))
    await refusedWith('ERR_CONTAINER_STATE', container.remove())
    await container.resume()
    expect((await container.exec(['echo', 'goes on'])).stdout).toBe('goes on\n')
    // exited
    await container.stop({ timeoutMs: 0 })
    await container.stop()
    await refusedWith('ERR_CONTAINER_STATE', container.pause())
    await refusedWith('ERR_CONTAINER_STATE', container.kill())
    expect(await statusOf(container)).toBe('exited')
    await container.remove()
    expect(await failure(container.remove())).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
    for (const verb of [container.start(), container.stop(), container.kill(), container.pause(), container.exec(['true'])])
      expect(await failure(verb)).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND', kind: 'not-found' })
  })

  it('gives its stop signal time, and kills what ignores it', async () => {
    const polite = await started(['sh', '-c', 'trap "exit 7" TERM; echo ready; while true; do sleep 0.05; done'])
    // The first process of a container has signals only when it has asked for them.
    for await (const { text } of polite.logs({ follow: true })) if (text === 'ready') break
    await polite.stop({ timeoutMs: 5_000 })
    expect(await polite.wait()).toEqual({ exitCode: 7, signal: null, oomKilled: false })
    const stubborn = await started(IGNORES_TERM)
    for await (const { text } of stubborn.logs({ follow: true })) if (text === 'ready') break
    const begin = Date.now()
    await stubborn.stop({ timeoutMs: 300 })
    expect(Date.now() - begin).toBeGreaterThanOrEqual(300)
    expect(await stubborn.wait()).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
    for (const container of [polite, stubborn]) await container.remove()
  })

  it('stops and removes a paused one', async () => {
    const container = await started()
    await container.pause()
    await container.stop({ timeoutMs: 200 })
    expect(await container.wait()).toMatchObject({ exitCode: 137 })
    await container.remove()
    const other = await started()
    await other.pause()
    await other.remove({ force: true })
    expect(await runtime.containers.find(other.id)).toBeUndefined()
  })

  it('tells the exit code and the signal to everybody who waits, before, at and after the end', async () => {
    const container = await started(['sh', '-c', 'sleep 0.3; exit 42'])
    const waiters = await Promise.all([container.wait(), (await runtime.containers.get(container.name)).wait()])
    expect([...waiters, await container.wait()]).toEqual(Array(3).fill({ exitCode: 42, signal: null, oomKilled: false }))
    await container.remove()
    expect(await container.wait()).toMatchObject({ exitCode: 42 })
    const killed = await started()
    const waiting = killed.wait()
    await killed.kill('TERM')
    await killed.kill(9)
    expect(await waiting).toEqual({ exitCode: 137, signal: 'SIGKILL', oomKilled: false })
    await killed.remove()
  })

  it('lets a wait be given up without harm to the container', async () => {
    const container = await started()
    const reason = new Error('enough')
    await expect(container.wait({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const giveUp = new AbortController()
    const waiting = container.wait({ signal: giveUp.signal })
    giveUp.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    expect(await statusOf(container)).toBe('running')
    await container.remove({ force: true })
  })

  it('sends a signal by name and by number and refuses one that is none', async () => {
    const container = await started(['sh', '-c', 'trap "echo usr1" USR1; echo ready; while true; do sleep 0.05; done'])
    const seen: string[] = []
    for await (const { text } of container.logs({ follow: true })) {
      seen.push(text)
      if (text === 'ready') await container.kill('SIGUSR1')
      if (text === 'usr1' && seen.length === 2) await container.kill(10)
      if (seen.length === 3) break
    }
    expect(seen).toEqual(['ready', 'usr1', 'usr1'])
    expect(await failure(container.kill('SIGNONSENSE'))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    await container.remove({ force: true })
  })

  it('does not start what is not there, says which program, and leaves it exited', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: ['/no/such/program'] })
    const error = await failure(container.start())
    expect(error).toMatchObject({ code: 'ERR_OCI_COMMAND_NOT_FOUND', kind: 'not-found' })
    expect(error.message).toContain('/no/such/program')
    expect(['configured', 'exited']).toContain(await statusOf(container))
    await container.remove()
    const forbidden = await runtime.containers.create({ image: SMALL, command: ['/etc/passwd'] })
    expect(await failure(forbidden.start())).toMatchObject({ code: 'ERR_OCI_RUNTIME_PERMISSION', kind: 'denied' })
    await forbidden.remove()
  })

  it('leaves nothing of a container that `containers.run` could not start', async () => {
    const before = (await runtime.containers.list()).length
    await expect(runtime.containers.run({ image: SMALL, command: ['/no/such/program'] })).rejects.toMatchObject({
      code: 'ERR_OCI_COMMAND_NOT_FOUND',
    })
    expect(await runtime.containers.list()).toHaveLength(before)
  })

  it('removes an ephemeral one by itself when it ends, and with the scope that made it', async () => {
    const ended = await runtime.containers.run({ image: SMALL, command: ['true'], ephemeral: true })
    expect(await ended.wait()).toMatchObject({ exitCode: 0 })
    let id = ''
    {
      await using scoped = await runtime.containers.run({ image: SMALL, command: SLEEP, ephemeral: true })
      id = scoped.id
      expect(await statusOf(scoped)).toBe('running')
    }
    expect(await runtime.containers.find(id)).toBeUndefined()
    await eventually(async () => expect(await runtime.containers.find(ended.id)).toBeUndefined())
  })

  it('undoes a start that is aborted before it has begun', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    const error = await failure(container.start({ signal: AbortSignal.abort(new Error('changed my mind')) }))
    expect(error.message).toBe('changed my mind')
    expect(await statusOf(container)).toBe('configured')
    await container.start()
    await container.remove({ force: true })
  })

  it('undoes a start that is aborted in the middle', async () => {
    const store = await lab.store()
    const begun = join(store.directory, 'begun')
    const path = join(store.directory, ociRuntime)
    writeFileSync(
      path,
      `#!/bin/sh\nfor word in "$@"; do [ "$word" = create ] && { touch ${begun}; sleep 3; }; done\nexec ${ociRuntime} "$@"\n`,
    )
    chmodSync(path, 0o755)
    const container = await (await store.open({ ociRuntime: path })).containers.create({ image: SMALL, command: SLEEP })
    const abort = new AbortController()
    const reason = new Error('changed my mind')
    const starting = failure(container.start({ signal: abort.signal }))
    await eventually(() => expect(existsSync(begun)).toBe(true))
    abort.abort(reason)
    expect(await starting).toBe(reason)
    expect(await statusOf(container)).toBe('configured')
    await store.expectNothingLeaked()
  })

  it('keeps every verb of one container in turn', async () => {
    const container = await runtime.containers.create({ image: SMALL, command: SLEEP })
    const outcomes = await Promise.allSettled([container.start(), container.start(), container.start()])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'ERR_CONTAINER_RUNNING' })
    const ends = await Promise.allSettled([
      container.stop({ timeoutMs: 0 }),
      container.stop({ timeoutMs: 0 }),
      container.remove({ force: true }),
    ])
    for (const outcome of ends)
      if (outcome.status === 'rejected') expect(isPodlibError(outcome.reason, 'ERR_CONTAINER_NOT_FOUND')).toBe(true)
    expect(await runtime.containers.find(container.id)).toBeUndefined()
  })
})
