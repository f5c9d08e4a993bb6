import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '../errors/errors.ts'
import type { RuntimeSpec } from '../spec/runtime.ts'
import { eventCounter } from './sys/posix-spawn.ts'

/** Whether the kernel killed something in a cgroup for lack of memory. */
export interface OomWatch {
  /** The text of `config.json` with which the watch works. */
  adapt(config: string): string
  /** To be asked after the container's end. */
  happened(): Promise<boolean>
  close(): void
}

const NEVER: OomWatch = { adapt: (config) => config, happened: async () => false, close: () => {} }

/**
 * Watches the cgroup of a container in the memory hierarchy for out-of-memory kills. The runtime removes
 * the cgroup the moment its container ends, so what happened must be counted outside of it: with cgroup v1
 * by an event counter registered before the start; with v2 the container gets a child of its cgroup, whose
 * own `memory.events` includes its children.
 *
 * @param directory absolute, below the cgroup mount.
 */
export function watchOom(directory: string | undefined): OomWatch {
  if (directory === undefined) return NEVER
  return isUnified() ? watchParent(directory) : watchEvents(directory)
}

/** More memory than there is: an event at this threshold never comes. */
const UNREACHABLE = 2 ** 60
/** Longer than the kernel takes from the removal of a cgroup to the last event of it, also when it has much to do. */
const REMOVAL_MS = 1_000

/**
 * The removal of a cgroup counts as one event of every kind, some milliseconds after the fact. A second
 * counter, of an event that never comes, shows whether that one is included: that of a threshold, for which the kernel
 * waits until nobody looks at the thresholds any more, and which therefore comes last.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/memory.html sections 9 and 10
 */
function watchEvents(directory: string): OomWatch {
  mkdirSync(directory, { recursive: true })
  const counters: number[] = []
  const close = () => {
    for (const fd of counters) closeSync(fd)
    removeCgroup(directory)
  }
  const register = (file: string, argument = ''): EventCount => {
    const fd = eventCounter()
    counters.push(fd)
    const source = openSync(join(directory, file), 'r')
    try {
      writeFileSync(join(directory, 'cgroup.event_control'), `${fd} ${source} ${argument}`.trim())
    } finally {
      closeSync(source)
    }
    return new EventCount(fd)
  }
  try {
    const kills = register('memory.oom_control')
    const removals = register('memory.usage_in_bytes', String(UNREACHABLE))
    return {
      adapt: (config) => config,
      async happened() {
        if (kills.read() === 0n) return false
        // Where the cgroup is gone, the one event may be half of a removal that is just under way.
        const deadline = Date.now() + REMOVAL_MS
        while (kills.read() === 1n && removals.read() === 0n && !existsSync(directory) && Date.now() < deadline) await delay(1)
        return kills.read() > removals.read()
      },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

/** An event counter that remembers what was read from it. */
class EventCount {
  readonly #fd: number
  #total = 0n

  constructor(fd: number) {
    this.#fd = fd
  }

  read(): bigint {
    const bytes = Buffer.alloc(8)
    try {
      readSync(this.#fd, bytes)
      this.#total += bytes.readBigUInt64LE()
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error
    }
    return this.#total
  }
}

/** @see https://docs.kernel.org/admin-guide/cgroup-v2.html memory.events */
function watchParent(directory: string): OomWatch {
  return { adapt: inChildCgroup, happened: async () => oomKills(directory) > 0, close: () => removeCgroup(directory) }
}

/** Moves the container of a `config.json` one level down. */
export function inChildCgroup(config: string): string {
  const spec = JSON.parse(config) as RuntimeSpec
  const path = spec.linux?.cgroupsPath
  return path === undefined ? config : JSON.stringify({ ...spec, linux: { ...spec.linux, cgroupsPath: `${path}/container` } })
}

/** How often the kernel has killed in a cgroup for lack of memory; 0 also for one that is not there. */
function oomKills(directory: string): number {
  try {
    const text = readFileSync(join(directory, isUnified() ? 'memory.events' : 'memory.oom_control'), 'latin1')
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)
  } catch {
    // The runtime failed before it made the cgroup, or has removed it.
    return 0
  }
}

/**
 * Counts the out-of-memory kills in the cgroup of a container from now on, as long as that is there: for processes that come and
 * go in it, which need no watch. The kernel counts before it kills.
 *
 * @param directory as that of {@link watchOom}.
 */
export function countOomKills(directory: string | undefined): () => number {
  if (directory === undefined) return () => 0
  const before = oomKills(directory)
  return () => Math.max(0, oomKills(directory) - before)
}

function isUnified(): boolean {
  return existsSync('/sys/fs/cgroup/cgroup.controllers')
}

/** What the runtime did not remove because it did not come so far, or did not make. */
function removeCgroup(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // Gone already, as it should be.
  }
}
