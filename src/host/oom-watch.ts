import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { eventCounter } from './sys/posix-spawn.ts'

/** Whether the kernel killed something in a cgroup for lack of memory. To be asked after the cgroup's end. */
export interface OomWatch {
  happened(): boolean
  close(): void
}

const NEVER: OomWatch = { happened: () => false, close: () => {} }

/**
 * Watches a cgroup of the memory hierarchy for out-of-memory kills. The runtime removes the cgroup the
 * moment its container ends, so what happened must be counted outside of it: with cgroup v1 by an event
 * counter registered before the start, with v2 by the parent, whose `memory.events` includes its children.
 *
 * @param directory absolute, below the cgroup mount; made here when it is v1.
 */
export function watchOom(directory: string | undefined): OomWatch {
  if (directory === undefined) return NEVER
  return existsSync('/sys/fs/cgroup/cgroup.controllers') ? watchParent(dirname(directory)) : watchEventCounter(directory)
}

/** @see https://docs.kernel.org/admin-guide/cgroup-v1/memory.html section 10 */
function watchEventCounter(directory: string): OomWatch {
  mkdirSync(directory, { recursive: true })
  const control = openSync(join(directory, 'memory.oom_control'), 'r')
  let counter: number | undefined
  try {
    counter = eventCounter()
    writeFileSync(join(directory, 'cgroup.event_control'), `${counter} ${control}`)
  } catch (error) {
    if (counter !== undefined) closeSync(counter)
    throw error
  } finally {
    closeSync(control)
  }
  const fd = counter
  // The removal of the cgroup counts as one event too.
  return { happened: () => readCounter(fd) > 1n, close: () => closeSync(fd) }
}

function readCounter(fd: number): bigint {
  const bytes = Buffer.alloc(8)
  try {
    readSync(fd, bytes)
  } catch {
    // EAGAIN: nothing was counted.
    return 0n
  }
  return bytes.readBigUInt64LE()
}

function watchParent(directory: string): OomWatch {
  const before = oomKills(directory)
  return { happened: () => oomKills(directory) > before, close: () => {} }
}

/** @see https://docs.kernel.org/admin-guide/cgroup-v2.html memory.events */
function oomKills(directory: string): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(directory, 'memory.events'), 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
