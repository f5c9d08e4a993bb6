import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { descendants, isSameProcess, killTree, listProcesses } from './proc.ts'

/*
 * What an exec starts can leave both its parent and its session, and then nothing of `/proc/<pid>/stat` tells it from the
 * container's other processes; a cgroup of its own cannot be had from every OCI runtime on every host (crun 1.8 puts a process
 * outside of all limits when one of v1's hierarchies lacks the directory). So the process gets a mark that every descendant
 * inherits, across fork and execve: an RLIMIT_LOCKS with a number of its own. No kernel since 2.4.25 limits anything by it.
 * A program can lower it to be missed, which none does by chance.
 *
 * @see getrlimit(2)
 */

const TYPE = 'RLIMIT_LOCKS'
/** Upper half of every mark, so that no limit that somebody has chosen is taken for one. */
const MAGIC = 0x706f * 2 ** 32

/** A process in the middle of a disk access ends only after it; nobody waits for it for longer. */
const PATIENCE_MS = 2_000
const POLL_MS = 2

interface Limited {
  readonly rlimits?: { type: string; soft: number; hard: number }[]
}

/** The process with a mark of its own. One that has such a limit already, or may not be given any, stays as it is. */
export function markExec<Process extends Limited>(process: Process): Process {
  const { rlimits = [] } = process
  // Inside of a limit, such as another exec's mark, only a lower one can be set, and setrlimit(2) would fail the start.
  if (rlimits.some(({ type }) => type === TYPE) || lockLimit('self') !== undefined) return process
  const mark = MAGIC + randomInt(2 ** 32)
  return { ...process, rlimits: [...rlimits, { type: TYPE, soft: mark, hard: mark }] }
}

/** Kills a runtime's exec and everything that it started, wherever that has gone, and waits until it is no more. */
export async function killExec(runtimePid: number): Promise<void> {
  const marks = new Set(descendants([runtimePid], listProcesses()).flatMap(({ pid }) => markOf(pid) ?? []))
  const killed = killTree(runtimePid, marks.size === 0 ? undefined : ({ pid }) => marks.has(markOf(pid) ?? 0))
  const deadline = Date.now() + PATIENCE_MS
  while (killed.some(({ pid, startTime }) => isSameProcess(pid, startTime)) && Date.now() < deadline) await delay(POLL_MS)
}

function markOf(pid: number): number | undefined {
  const limit = lockLimit(pid)
  return limit !== undefined && limit >= MAGIC && limit < MAGIC + 2 ** 32 ? limit : undefined
}

/** The hard limit; undefined when there is none, and for a process that is gone. */
function lockLimit(pid: number | 'self'): number | undefined {
  try {
    const hard = /^Max file locks +\S+ +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))?.[1]
    return hard === undefined ? undefined : Number(hard)
  } catch {
    return undefined
  }
}
