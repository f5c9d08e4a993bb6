import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { drainJob } from '../../../src/host/drain.ts'
import { feedJob } from '../../../src/host/feed.ts'
import type { Host } from '../../../src/host/host.ts'
import { descendants, isSameProcess, listProcesses } from '../../../src/host/proc.ts'
import { mkfifo } from '../../../src/host/sys/libc.ts'
import { createWorkerHost } from '../../../src/host/worker-host.ts'
import { childPrograms } from '../../helpers/child-program.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { until } from '../../helpers/until.ts'
import { testHost } from '../../helpers/worker.ts'

const directory = temporaryDirectories()
const start = childPrograms()
const readHostname = { root: '/', paths: ['/etc/hostname'], maxBytes: 64 }

function workers(): number[] {
  return descendants([process.pid], listProcesses())
    .filter(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('podlib-worker'))
    .map(({ pid }) => pid)
}

describe('the host worker', () => {
  let host: Host
  beforeAll(() => {
    host = testHost()
  })
  afterAll(() => host.close())

  test('does jobs with values in both directions', async () => {
    const [name] = await host.run('read-in-root', readHostname)
    expect(Buffer.from(name ?? []).toString()).toBe(readFileSync('/etc/hostname', 'utf8'))
  })

  test('is one process for all that is asked at once', async () => {
    await Promise.all(Array.from({ length: 20 }, () => host.run('read-in-root', readHostname)))
    expect(workers()).toHaveLength(1)
  })

  test('gives errors back with code, words and details', async () => {
    const target = join(directory(), 'merged')
    const mounting = host.run('mount-rootfs', { lowers: ['/nowhere'], target, userXattrs: false, volatile: false })
    await expect(mounting).rejects.toMatchObject({ code: 'ERR_MOUNT_FAILED', kind: 'unavailable', details: { target } })
  })

  test('that is killed fails what it was at, and the next call starts another', async () => {
    const fifo = join(directory(), 'fifo')
    mkfifo(fifo)
    const doomed = host.run('run-program', { argv: ['/bin/sleep', '60'] })
    doomed.catch(() => {})
    await sleep(50)
    const [before] = workers()
    process.kill(before as number, 'SIGKILL')
    await expect(doomed).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    await host.run('read-in-root', readHostname)
    expect(workers()).not.toContain(before)
  })

  test('that was killed between two jobs is missed by nobody', async () => {
    for (let i = 0; i < 5; i++) {
      await host.run('read-in-root', readHostname)
      for (const pid of workers()) process.kill(pid, 'SIGKILL')
      const [[name], { stdout }] = await Promise.all([
        host.run('read-in-root', readHostname),
        host.run('run-program', { argv: ['/bin/echo', 'done'] }),
      ])
      expect([Buffer.from(name ?? []).toString(), stdout]).toEqual([readFileSync('/etc/hostname', 'utf8'), 'done\n'])
    }
  })

  test('whose program is killed begins nothing of what it has not begun', async () => {
    const path = join(directory(), 'kept')
    writeFileSync(path, '')
    const parent = start('worker-host-child.ts', path)
    const [pid = 0, startTime = 0] = ((await parent.line()) ?? '').split(' ').map(Number)
    await parent.exited
    process.kill(pid, 'SIGCONT')
    await until('the worker ends', () => !isSameProcess(pid, startTime))
    expect(existsSync(path)).toBe(true)
  })

  test('that cannot be started fails the job with what it said', async () => {
    const broken = createWorkerHost({
      facts: host.facts,
      command: async () => ({ file: '/bin/sh', args: ['-c', 'echo no >&2; exit 3'], env: {} }),
    })
    const failed = broken.run('read-in-root', readHostname)
    await expect(failed).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED', details: { stderr: 'no\n' } })
    await broken.close()
    const missing = createWorkerHost({ facts: host.facts, command: async () => ({ file: '/nowhere', args: [], env: {} }) })
    await expect(missing.run('read-in-root', readHostname)).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    await missing.close()
  })

  test("an abort ends the job and rejects with the signal's reason", async () => {
    const controller = new AbortController()
    const running = host.run('run-program', { argv: ['/bin/sleep', '60'] }, { signal: controller.signal })
    await sleep(50)
    controller.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
  })

  test('that was given up before it began does nothing', async () => {
    const running = host.run('read-in-root', readHostname, { signal: AbortSignal.abort(new Error('never mind')) })
    await expect(running).rejects.toThrow('never mind')
  })

  test('ends when the host is closed, which can be done twice, and does nothing after', async () => {
    const other = testHost()
    await other.run('read-in-root', readHostname)
    await Promise.all([other.close(), other.close()])
    await expect(other.run('read-in-root', readHostname)).rejects.toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
  })
})

describe('on a host with one processor', () => {
  let host: Host
  beforeAll(() => {
    host = testHost({}, 1)
  })
  afterAll(() => host.close())

  /** The tar of a directory, written by one job and unpacked by another, with this process between them. */
  async function throughPipes(): Promise<number> {
    const [tree, target] = [directory(), directory()]
    writeFileSync(join(tree, 'big'), Buffer.alloc(3 << 20, 'x'))
    const pipe = join(target, 'tar')
    const path = join(target, 'feed')
    const written = drainJob(
      pipe,
      (left) => host.run('tree-tar', { directory: tree, target: pipe }, { signal: left, unqueued: true }),
      undefined,
    )
    const unpacked = join(target, 'unpacked')
    const input = { source: { path }, blob: undefined, diffId: undefined, directory: unpacked, xattrPrefix: 'trusted' } as const
    const job = (either: AbortSignal) => host.run('unpack-layer', input, { signal: either })
    await feedJob({ path, source: Readable.from(written), job, signal: new AbortController().signal })
    return readFileSync(join(unpacked, 'fs', 'big')).length
  }

  test('a job that writes what another reads does not wait for its turn', async () => {
    expect(await throughPipes()).toBe(3 << 20)
  })

  test('pairs of such jobs get on, however many there are, and the readers take turns', async () => {
    const lengths = await Promise.all(Array.from({ length: 4 }, () => throughPipes()))
    expect(lengths).toEqual(lengths.map(() => 3 << 20))
  })

  test('a job that waits for its turn when the host is closed is not begun', async () => {
    const closing = testHost({}, 1)
    const fifo = join(directory(), 'fifo')
    mkfifo(fifo)
    const unpacked = join(directory(), 'layer')
    const source = { source: { path: fifo }, blob: undefined, diffId: undefined }
    const first = closing.run('unpack-layer', { ...source, directory: unpacked, xattrPrefix: 'trusted' })
    const second = closing.run('diff-layers', { from: ['/nowhere'], to: [], xattrPrefix: 'trusted' })
    const [firstEnded, secondEnded] = [first, second].map((job) => job.catch((error: unknown) => error))
    await until('the first is at work', () => existsSync(unpacked))
    await closing.close()
    expect(await firstEnded).toBeInstanceOf(Error)
    expect(await secondEnded).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
  })

  test('a turn is passed on when a job fails, and who gave up waiting does not get it', async () => {
    const controller = new AbortController()
    const diff = (from: string, signal?: AbortSignal) =>
      host.run('diff-layers', { from: [from], to: [], xattrPrefix: 'trusted' }, { signal })
    const failing = diff('/nowhere')
    const givenUp = diff('/nowhere', controller.signal)
    const last = throughPipes()
    controller.abort(new Error('never mind'))
    await expect(givenUp).rejects.toThrow('never mind')
    await expect(failing).rejects.toMatchObject({ code: expect.any(String) })
    expect(await last).toBe(3 << 20)
  })
})
