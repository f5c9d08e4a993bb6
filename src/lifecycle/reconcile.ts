import type { ContainerStatus } from '../state/transition.ts'
import type { ExitFacts, LifecycleEvent } from './state-machine.ts'

/** What the host shows about a container, gathered by `evidence.ts`. */
export interface Evidence {
  /** False when the row was written before the host was last started. */
  readonly sameBoot: boolean
  /** The monitor's record of the exit. */
  readonly exit: ExitFacts | undefined
  /** The container's first process, told from a later one with the same pid by its start time. */
  readonly processAlive: boolean
  /** That process is not the OCI runtime's any more, which waits to be told to start, but runs the container's program. */
  readonly programRuns: boolean
  readonly now: number
}

const ALIVE: ReadonlySet<ContainerStatus> = new Set(['created', 'running', 'paused', 'stopping'])

/** Whether a container in this status has, or should have, a process. */
export function expectsProcess(status: ContainerStatus): boolean {
  return ALIVE.has(status)
}

/**
 * What must have happened to a container since its row was written: nothing, a start, an exit, or a reboot. Pure; the same
 * whether it is asked by a verb a millisecond later or by the next process after a crash.
 *
 * A monitor that died alone changes nothing yet: the container runs on, only its exit code is lost, which shows when the
 * process is gone and left no record.
 */
export function reconcile(
  row: { readonly status: ContainerStatus; readonly attached: boolean },
  evidence: Evidence,
): LifecycleEvent | undefined {
  if (!evidence.sameBoot && row.status !== 'configured' && row.status !== 'exited' && row.status !== 'removing') {
    return { type: 'rebooted', at: evidence.now }
  }
  if (!expectsProcess(row.status)) return undefined
  if (evidence.exit) return { type: 'exited', ...evidence.exit }
  if (evidence.processAlive) {
    // Who started it died before it could write that down.
    return row.status === 'created' && evidence.programRuns ? { type: 'started', at: evidence.now } : undefined
  }
  return { type: 'exited', exitCode: -1, exitSignal: null, oomKilled: false, finishedAt: evidence.now, error: lost(row.attached) }
}

function lost(attached: boolean): string {
  return attached ? 'the application that ran it ended' : 'its monitor ended before it could record the exit'
}
