import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { listProcesses, type ProcessStat } from './proc.ts'

/** What a worker finds in its environment: the process that started it, and the run root that it works for. */
export const WORKER_PARENT = 'PODLIB_PARENT'
export const WORKER_RUN_ROOT = 'PODLIB_RUN_ROOT'

/** The name that a worker goes by. */
export const WORKER_NAME = 'podlib-worker'

/** One that takes longer to undo its jobs hangs in the kernel. */
const PATIENCE_MS = 5_000
const POLL_MS = 5

/**
 * Waits until the workers of programs that died have undone what they were at, and ended: their locks are free already, and
 * what a worker is still making or deleting would get in the way of whoever takes up the work.
 */
export async function abandonedWorkersEnded(runRoot: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (listProcesses().some((process) => isAbandoned(process, runRoot)) && Date.now() < deadline) await sleep(POLL_MS)
}

function isAbandoned({ pid, command, parent, state }: ProcessStat, runRoot: string): boolean {
  if (command !== WORKER_NAME || state === 'Z') return false
  const environment = environmentOf(pid)
  return environment.includes(`${WORKER_RUN_ROOT}=${runRoot}`) && !environment.includes(`${WORKER_PARENT}=${parent}`)
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    // It ended meanwhile, or is somebody else's.
    return []
  }
}
