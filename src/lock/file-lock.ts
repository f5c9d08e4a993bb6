import { closeSync, constants, fstatSync, openSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { backOff, delay } from '../util/delay.ts'

/** flock(2): throws an error with `code` `EWOULDBLOCK` or `EAGAIN` when the lock is held. */
export type Flock = (fd: number, operation: number) => void

// the kernel's numbers, the same on every architecture
const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4

/** First and longest pause between two tries. A blocking flock would occupy a thread of libuv's pool of four. */
const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 50
const WORK_TIMEOUT_MS = 30_000

export interface FileLockOptions {
  readonly path: string
  readonly flock: Flock
  readonly shared: boolean
}

/** A lock on a file, held until `release` or the death of the process. */
export interface FileLock {
  /** Idempotent. `unlink` also removes the file, which only an exclusive holder may do. */
  release(unlink?: boolean): void
}

/**
 * Takes a lock if it is free. The lock belongs to the open file, not to the path: a file that was unlinked between open
 * and flock is a lock that nobody else can see, so the path must still lead to it.
 *
 * @returns undefined when somebody else holds it.
 */
export function tryFileLock({ path, flock, shared }: FileLockOptions): FileLock | undefined {
  while (true) {
    // Node opens with O_CLOEXEC: a child never inherits the lock.
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    try {
      flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB)
      if (isAtPath(fd, path)) return held(fd, path)
    } catch (error) {
      closeSync(fd)
      if (isHeldElsewhere(error)) return undefined
      throw error
    }
    closeSync(fd)
  }
}

/** Takes a lock, waiting for its holders. @throws ERR_LOCK_TIMEOUT naming the holder; the signal's reason. */
export async function takeFileLock(
  options: FileLockOptions,
  { signal, deadline, what }: { readonly signal: AbortSignal | undefined; readonly deadline: number; readonly what: string },
): Promise<FileLock> {
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    const lock = tryFileLock(options)
    if (lock) return lock
    const left = deadline - Date.now()
    if (left <= 0) throw lockTimeout(what, holdersOf(options.path))
    await delay(Math.min(left, backOff(attempt, FIRST_PAUSE_MS, LONGEST_PAUSE_MS)), signal)
  }
}

/** Runs `work` while no other holder of the same file's lock does. It must not take long: a waiter gives up after 30 s. */
export async function withFileLock<T>(
  { path, flock, what }: Omit<FileLockOptions, 'shared'> & { readonly what: string },
  work: () => Promise<T>,
): Promise<T> {
  const lock = await takeFileLock({ path, flock, shared: false }, { signal: undefined, deadline: Date.now() + WORK_TIMEOUT_MS, what })
  try {
    return await work()
  } finally {
    lock.release()
  }
}

export function lockTimeout(what: string, pids: readonly number[]): PodlibError {
  const holder = pids.length === 0 ? 'another process' : `process ${pids.join(', ')}`
  const text = `${what} is still locked by ${holder}: wait for it or end it, then try again`
  return new PodlibError('ERR_LOCK_TIMEOUT', text, { details: { what, pids } })
}

/** Pids of the processes that hold a lock on a file, as far as proc_locks(5) shows them. */
export function holdersOf(path: string): number[] {
  try {
    const { dev, ino } = statSync(path, { bigint: true })
    const key = `${hex(major(dev))}:${hex(minor(dev))}:${ino}`
    const lines = readFileSync('/proc/locks', 'utf8').matchAll(/^\d+: FLOCK +\S+ +\S+ +(\d+) +(\S+) /gm)
    return [...lines].filter((line) => line[2] === key).map((line) => Number(line[1]))
  } catch {
    return []
  }
}

function held(fd: number, path: string): FileLock {
  let open = true
  return {
    release: (unlink = false) => {
      if (!open) return
      open = false
      try {
        // While the lock is held: whoever waits for it finds another file at the path and begins anew.
        if (unlink) unlinkSync(path)
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error
      } finally {
        closeSync(fd)
      }
    },
  }
}

function isAtPath(fd: number, path: string): boolean {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false })
  const here = fstatSync(fd, { bigint: true })
  return there !== undefined && there.ino === here.ino && there.dev === here.dev
}

function isHeldElsewhere(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'EWOULDBLOCK' || code === 'EAGAIN'
}

// gnu_dev_major(3), gnu_dev_minor(3)
function major(dev: bigint): bigint {
  return ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n)
}

function minor(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n)
}

function hex(value: bigint): string {
  return value.toString(16).padStart(2, '0')
}
