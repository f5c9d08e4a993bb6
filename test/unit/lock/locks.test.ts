import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import { flock } from '../../../src/host/sys/libc.ts'
import { holdersOf } from '../../../src/lock/file-lock.ts'
import { createLocks, type LockKey } from '../../../src/lock/locks.ts'
import { childPrograms } from '../../helpers/child-program.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
const start = childPrograms()
const newLocks = (dir = newDirectory()) => ({ dir, locks: createLocks({ dir, flock }) })
const container = (id: string): LockKey => ({ kind: 'container', id })
/** Descriptors of this process on files below `dir`. */
const openFiles = (dir: string) =>
  readdirSync('/proc/self/fd').filter((fd) => {
    const path = `/proc/self/fd/${fd}`
    return existsSync(path) && readlinkSync(path).startsWith(dir)
  })

describe('within a process', () => {
  test('one holder at a time, in the order of the calls', async () => {
    const { dir, locks } = newLocks()
    const order: string[] = []
    const work = (name: string) =>
      locks.withLock(container('a'), async () => {
        order.push(`${name} in`)
        await sleep(5)
        order.push(`${name} out`)
        return name
      })
    expect(await Promise.all([work('1'), work('2'), work('3')])).toEqual(['1', '2', '3'])
    expect(order).toEqual(['1 in', '1 out', '2 in', '2 out', '3 in', '3 out'])
    expect(openFiles(dir)).toEqual([])
  })

  test('different objects do not wait for each other', async () => {
    const { locks } = newLocks()
    const order: string[] = []
    const work = (id: string, ms: number) => locks.withLock(container(id), () => sleep(ms).then(() => order.push(id)))
    await Promise.all([work('slow', 50), work('quick', 1)])
    expect(order).toEqual(['quick', 'slow'])
  })

  test('shared holders are together, an exclusive one waits for them and is not passed by later ones', async () => {
    const { locks } = newLocks()
    const order: string[] = []
    const work = (name: string, shared: boolean) =>
      locks.withLock(
        container('a'),
        async () => {
          order.push(`${name} in`)
          await sleep(10)
          order.push(`${name} out`)
        },
        { shared },
      )
    await Promise.all([work('s1', true), work('s2', true), work('x', false), work('s3', true)])
    expect(order).toEqual(['s1 in', 's2 in', 's1 out', 's2 out', 'x in', 'x out', 's3 in', 's3 out'])
  })

  test('a failure gives the lock back', async () => {
    const { locks } = newLocks()
    await expect(locks.withLock(container('a'), () => Promise.reject(new RangeError('no')))).rejects.toThrow(RangeError)
    expect(await locks.withLock(container('a'), () => 7)).toBe(7)
  })

  test('a waiter that is aborted or out of time leaves the queue to the others', async () => {
    const { locks } = newLocks()
    const abort = new AbortController()
    const held = locks.withLock(container('a'), () => sleep(150))
    const aborted = locks.withLock(container('a'), () => {}, { signal: abort.signal })
    const late = locks.withLock(container('a'), () => {}, { timeoutMs: 20 })
    const patient = locks.withLock(container('a'), () => 'mine', { timeoutMs: 10_000 })
    setTimeout(() => abort.abort(new Error('enough')), 10)
    await expect(aborted).rejects.toThrow('enough')
    await expect(late).rejects.toMatchObject({ code: 'ERR_LOCK_TIMEOUT', details: { what: 'container a', pids: [process.pid] } })
    await held
    expect(await patient).toBe('mine')
  })

  test('an aborted signal takes nothing', async () => {
    const { dir, locks } = newLocks()
    await expect(locks.withLock(container('a'), () => {}, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    expect(readdirSync(dir)).toEqual([])
  })

  test('an id that is no file name is locked all the same', async () => {
    const { dir, locks } = newLocks()
    const ids = ['../../etc/passwd', 'a/b', 'x'.repeat(500), '', 'sha256:00', '\0']
    for (const id of ids) await locks.withLock(container(id), () => {})
    expect(new Set(readdirSync(dir)).size).toBe(ids.length)
  })

  test('a discarded lock takes its file away, a shared one may not', async () => {
    const { dir, locks } = newLocks()
    await locks.withLock(container('a'), (lock) => lock.discard())
    expect(readdirSync(dir)).toEqual([])
    await expect(locks.withLock(container('a'), (lock) => lock.discard(), { shared: true })).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
    expect(readdirSync(dir)).toEqual(['container-a'])
  })
})

describe('the order', () => {
  test('pod, container, volume, image, layer is accepted, also with gaps', async () => {
    const { locks } = newLocks()
    await locks.withLock({ kind: 'pod', id: 'z' }, () =>
      locks.withLock(container('y'), () =>
        locks.withLock({ kind: 'volume', id: 'x' }, () => locks.withLock({ kind: 'layer', id: 'w' }, () => {})),
      ),
    )
  })

  test.each<[LockKey, LockKey]>([
    [container('a'), { kind: 'pod', id: 'a' }],
    [
      { kind: 'layer', id: 'a' },
      { kind: 'image', id: 'b' },
    ],
    [container('b'), container('a')],
    [container('a'), container('a')],
  ])('with %j held refuses %j at once', async (held, asked) => {
    const { locks } = newLocks()
    const wrong = locks.withLock(held, () => locks.withLock(asked, () => {}))
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_INTERNAL', details: { asked, held: [held] } })
  })

  test('holds for each chain by itself', async () => {
    const { locks } = newLocks()
    await locks.withLock({ kind: 'image', id: 'i' }, async () => {
      await Promise.all(['b', 'a'].map((id) => locks.withLock({ kind: 'layer', id }, () => sleep(5))))
    })
  })

  test('forgets locks that were given back, for work that goes on after them', async () => {
    const { locks } = newLocks()
    let later: Promise<void> | undefined
    await locks.withLock(container('b'), () => {
      later = sleep(20).then(() => locks.withLock(container('a'), () => {}))
    })
    await later
  })

  test('of several locks is made by withLocks', async () => {
    const { dir, locks } = newLocks()
    const keys = [container('b'), { kind: 'pod', id: 'p' } as const, container('a'), container('b')]
    const held = await locks.withLocks(keys, () => readdirSync(dir).filter((name) => holdersOf(join(dir, name)).includes(process.pid)))
    expect(held.sort()).toEqual(['container-a', 'container-b', 'pod-p'])
    expect(await locks.withLocks([], () => 1)).toBe(1)
  })
})

describe('between processes', () => {
  test('the second waits for the first and names it when its time is up', async () => {
    const { dir, locks } = newLocks()
    const holder = start('lock-holder.ts', dir, 'container', 'a', 'wait')
    expect(await holder.line()).toBe('held')
    expect(holdersOf(join(dir, 'container-a'))).toEqual([holder.pid])
    await expect(locks.withLock(container('a'), () => {}, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'ERR_LOCK_TIMEOUT',
      message: expect.stringContaining(`process ${holder.pid}`),
      details: { pids: [holder.pid] },
    })
    await expect(locks.withLock(container('a'), () => {}, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: 'TimeoutError',
    })
    await locks.withLock(container('b'), () => {})
    expect(openFiles(dir)).toEqual([])
  })

  test('a killed holder gives the lock back at once', async () => {
    const { dir, locks } = newLocks()
    const holder = start('lock-holder.ts', dir, 'container', 'a', 'wait')
    expect(await holder.line()).toBe('held')
    const waiting = locks.withLock(container('a'), () => Date.now())
    await sleep(100)
    const killed = Date.now()
    holder.kill('SIGKILL')
    expect((await waiting) - killed).toBeLessThan(500)
  })

  test('a stopped holder keeps the lock', async () => {
    const { dir, locks } = newLocks()
    const holder = start('lock-holder.ts', dir, 'container', 'a', 'wait')
    expect(await holder.line()).toBe('held')
    holder.kill('SIGSTOP')
    await expect(locks.withLock(container('a'), () => {}, { timeoutMs: 1000 })).rejects.toMatchObject({ code: 'ERR_LOCK_TIMEOUT' })
  })

  test('a holder with a blocked event loop keeps the lock', async () => {
    const { dir, locks } = newLocks()
    const holder = start('lock-holder.ts', dir, 'container', 'a', 'block')
    expect(await holder.line()).toBe('held')
    await expect(locks.withLock(container('a'), () => {}, { timeoutMs: 1000 })).rejects.toMatchObject({ code: 'ERR_LOCK_TIMEOUT' })
    expect(await holder.exited).toBe(0)
    await locks.withLock(container('a'), () => {}, { timeoutMs: 1000 })
  })

  test('two programs that take and discard one lock 200 times each are never in it together', async () => {
    const { dir } = newLocks()
    writeFileSync(join(dir, 'number'), '0')
    const programs = [1, 2].map(() => start('lock-holder.ts', dir, 'container', 'a', 'count', '200'))
    expect(await Promise.all(programs.map((program) => program.exited))).toEqual([0, 0])
    expect(readFileSync(join(dir, 'number'), 'utf8')).toBe('400')
    expect(existsSync(join(dir, 'container-a'))).toBe(false)
  })

  test('a child of the holder does not inherit the lock', async () => {
    const { dir, locks } = newLocks()
    const other = createLocks({ dir, flock })
    let sleeper: ReturnType<typeof start> | undefined
    await locks.withLock(container('a'), async () => {
      sleeper = start('lock-holder.ts', dir, 'container', 'b', 'wait')
      expect(await sleeper.line()).toBe('held')
    })
    await other.withLock(container('a'), () => {}, { timeoutMs: 500 })
    expect(holdersOf(join(dir, 'container-b'))).toEqual([sleeper?.pid])
  })
})
