/**
 * What a container is doing.
 *
 * `configured` known, nothing on the host yet; `created` mounted, the OCI runtime has it, its process waits; `running`;
 * `paused`; `stopping` asked to end; `stopped` its process is gone, the host still holds mounts and network; `exited`
 * cleaned up, can be started again; `removing` can only be removed, by whoever comes next if need be.
 *
 * @public
 */
export type ContainerStatus = 'configured' | 'created' | 'running' | 'paused' | 'stopping' | 'stopped' | 'exited' | 'removing'

/** Columns that change together with a status. */
export interface StateChanges {
  readonly startedAt?: number | null
  readonly finishedAt?: number | null
  readonly exitCode?: number | null
  readonly exitSignal?: string | null
  readonly oomKilled?: boolean
  readonly error?: string | null
  readonly pid?: number | null
  readonly pidStartTime?: number | null
  readonly monitorPid?: number | null
  readonly monitorStartTime?: number | null
  readonly bootId?: string | null
  readonly health?: string | null
  readonly initStep?: string | null
  readonly stoppedByUser?: boolean
  readonly restartCount?: number
  readonly attached?: boolean
  readonly network?: unknown
}

/** The facts of a transition. */
export interface TransitionFacts {
  /** The status that the decision was made on; the row must still have it. */
  readonly from: ContainerStatus
  readonly to: ContainerStatus
  /** The generation that the decision was made on, when nobody may have touched the row since. */
  readonly generation?: number
  readonly changes?: StateChanges
}

declare const decided: unique symbol

/**
 * A change of status that the state machine has decided on. The brand makes it impossible to write a status by hand; who
 * may call {@link brandTransition} is kept by an import rule: `lifecycle/state-machine.ts` alone.
 */
export interface Transition extends TransitionFacts {
  readonly [decided]: true
}

/** For `lifecycle/state-machine.ts` only. */
export function brandTransition(facts: TransitionFacts): Transition {
  return facts as Transition
}
