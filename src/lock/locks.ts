import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { PodlibError } from '../errors/errors.ts'
import { FairLock } from '../util/fair-lock.ts'
import { type FileLock, type Flock, lockTimeout, takeFileLock } from './file-lock.ts'

/** What can be locked, in the order in which one chain may take them. */
export const LOCK_ORDER = ['pod', 'container', 'volume', 'image', 'layer'] as const

export type LockKind = (typeof LOCK_ORDER)[number]

/** What is locked: an object by its kind and id. */
export interface LockKey {
  readonly kind: LockKind
  readonly id: string
}

export interface LockOptions {
  /** Share the lock with other shared holders of this and other processes. Default: exclusive. */
  readonly shared?: boolean
  readonly signal?: AbortSignal | undefined
  /** How long to wait for the holders. Default: for ever. */
  readonly timeoutMs?: number
}

/** A lock while it is held. */
export interface HeldLock extends LockKey {
  /** The object is gone: the lock's file is removed when the lock is given back. For exclusive holders. */
  discard(): void
}

/**
 * Locks on objects, between the async chains of this process and between processes.
 *
 * Model: a fair lock in memory, then flock(2) on `<dir>/<kind>-<id>`. The kernel gives the lock back when its holder
 * dies, however it dies, and never while it lives: a stopped or busy process keeps its locks. There is no limit on their
 * number. Within a process the order is first come, first served; between processes it is not.
 *
 * A chain that holds locks may take more in the order {@link LOCK_ORDER}, several of one kind by growing id. Any other
 * order could end in two chains that wait for each other, so it is refused with ERR_INTERNAL even when the lock is free.
 *
 * @example
 * ```ts
 * await locks.withLock({ kind: 'container', id }, async () => { ... }, { signal })
 * ```
 */
export interface Locks {
  /**
   * Runs `fn` while holding a lock.
   *
   * @throws ERR_LOCK_TIMEOUT naming the process that holds it; the signal's reason; ERR_INTERNAL for a wrong order.
   */
  withLock<T>(key: LockKey, fn: (lock: HeldLock) => Promise<T> | T, options?: LockOptions): Promise<T>
  /** Runs `fn` while holding several locks, taken in the right order. A key that is named twice is taken once. */
  withLocks<T>(keys: readonly LockKey[], fn: () => Promise<T> | T, options?: LockOptions): Promise<T>
}

interface Held extends LockKey {
  released: boolean
}

/** @param dir - Where the lock files are; must exist and be ours alone (`<runRoot>/locks`). */
export function createLocks({ dir, flock }: { readonly dir: string; readonly flock: Flock }): Locks {
  return new FileLocks(dir, flock)
}

class FileLocks implements Locks {
  readonly #dir: string
  readonly #flock: Flock
  readonly #inProcess = new Map<string, FairLock>()
  /** The locks that the running chain holds. */
  readonly #chain = new AsyncLocalStorage<readonly Held[]>()

  constructor(dir: string, flock: Flock) {
    this.#dir = dir
    this.#flock = flock
  }

  async withLock<T>(key: LockKey, fn: (lock: HeldLock) => Promise<T> | T, options: LockOptions = {}): Promise<T> {
    const outer = (this.#chain.getStore() ?? []).filter((lock) => !lock.released)
    assertOrder(outer, key)
    const deadline = Date.now() + (options.timeoutMs ?? Number.POSITIVE_INFINITY)
    const leave = await this.#enter(key, options, deadline)
    let file: FileLock | undefined
    let discarded = false
    const held: Held = { ...key, released: false }
    try {
      const path = join(this.#dir, fileName(key))
      const what = `${key.kind} ${key.id}`
      file = await takeFileLock({ path, flock: this.#flock, shared: options.shared ?? false }, { signal: options.signal, deadline, what })
      const lock: HeldLock = {
        ...key,
        discard: () => {
          if (options.shared) throw new PodlibError('ERR_INTERNAL', `the lock of ${what} is shared: its file cannot be removed`)
          discarded = true
        },
      }
      return await this.#chain.run([...outer, held], () => fn(lock))
    } finally {
      held.released = true
      try {
        file?.release(discarded)
      } finally {
        leave()
      }
    }
  }

  withLocks<T>(keys: readonly LockKey[], fn: () => Promise<T> | T, options: LockOptions = {}): Promise<T> {
    const [first, ...rest] = [...new Map(keys.map((key) => [fileName(key), key])).values()].sort(compareKeys)
    if (first === undefined) return Promise.resolve().then(fn)
    return this.withLock(first, () => this.withLocks(rest, fn, options), options)
  }

  /** Takes the lock of this process. Its entry goes when nobody wants it any more. */
  async #enter(key: LockKey, { shared = false, signal, timeoutMs }: LockOptions, deadline: number): Promise<() => void> {
    const name = fileName(key)
    const lock = this.#inProcess.get(name) ?? new FairLock()
    this.#inProcess.set(name, lock)
    const tidy = () => {
      if (lock.idle && this.#inProcess.get(name) === lock) this.#inProcess.delete(name)
    }
    const timeout = timeoutMs === undefined ? undefined : new AbortController()
    const timer = timeout && setTimeout(() => timeout.abort(lockTimeout(`${key.kind} ${key.id}`, [process.pid])), deadline - Date.now())
    const signals = [signal, timeout?.signal].filter((one) => one !== undefined)
    try {
      const release = await lock.acquire({ shared, signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0] })
      return () => {
        release()
        tidy()
      }
    } catch (error) {
      tidy()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

function compareKeys(a: LockKey, b: LockKey): number {
  const kinds = LOCK_ORDER.indexOf(a.kind) - LOCK_ORDER.indexOf(b.kind)
  if (kinds !== 0) return kinds
  return a.id < b.id ? -1 : Number(a.id > b.id)
}

function assertOrder(outer: readonly LockKey[], key: LockKey): void {
  const last = outer.at(-1)
  if (last === undefined || compareKeys(last, key) < 0) return
  const text = `lock of ${key.kind} ${key.id} was asked for while holding that of ${last.kind} ${last.id}: the order is ${LOCK_ORDER.join(' < ')}, then by id`
  throw new PodlibError('ERR_INTERNAL', text, { details: { asked: key, held: outer.map(({ kind, id }) => ({ kind, id })) } })
}

/** Ids are hexadecimal, digests or volume names. Anything else (a slash, 300 characters) becomes its hash. */
function fileName({ kind, id }: LockKey): string {
  const safe = /^[A-Za-z0-9_.:@-]{1,200}$/.test(id) ? id : createHash('sha256').update(id).digest('hex')
  return `${kind}-${safe}`
}
