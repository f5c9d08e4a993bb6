import { PodlibError } from '../errors/errors.ts'
import { brandTransition, type ContainerStatus, type StateChanges, type Transition } from '../state/transition.ts'

/** How a container's process ended. `exitCode` is 128 + n for a signal n, -1 when nobody knows. */
export interface ExitFacts {
  readonly exitCode: number
  readonly exitSignal: string | null
  readonly oomKilled: boolean
  readonly finishedAt: number
  /** Why the exit is not known, if it is not. */
  readonly error?: string
}

/** Which process is the container's first, and which one watches it. */
export interface ProcessFacts {
  readonly pid: number
  readonly pidStartTime: number
  readonly monitorPid: number | null
  readonly monitorStartTime: number | null
  readonly bootId: string
}

/** What can happen to a container. Everything that changes a status is one of these. */
export type LifecycleEvent =
  | ({ readonly type: 'initialized' } & ProcessFacts)
  | { readonly type: 'started'; readonly at: number }
  /** Begun without a monitor, in one step; it ends with its application. */
  | { readonly type: 'ran-attached'; readonly at: number; readonly bootId: string }
  | { readonly type: 'paused' }
  | { readonly type: 'resumed' }
  | { readonly type: 'stop-requested' }
  | ({ readonly type: 'exited' } & ExitFacts)
  | { readonly type: 'cleaned' }
  /** The host was started anew: no process and no mount of before is left. */
  | { readonly type: 'rebooted'; readonly at: number }
  | { readonly type: 'removal-begun' }

type EventType = LifecycleEvent['type']

/** The whole table: what each event makes of each status. What is not here cannot happen. */
const TABLE: { readonly [Type in EventType]: Readonly<Partial<Record<ContainerStatus, ContainerStatus>>> } = {
  initialized: { configured: 'created', exited: 'created' },
  started: { created: 'running' },
  'ran-attached': { configured: 'running' },
  paused: { running: 'paused' },
  resumed: { paused: 'running' },
  'stop-requested': { created: 'stopping', running: 'stopping', paused: 'stopping' },
  exited: { created: 'stopped', running: 'stopped', paused: 'stopped', stopping: 'stopped' },
  cleaned: { stopped: 'exited' },
  rebooted: { created: 'configured', running: 'exited', paused: 'exited', stopping: 'exited', stopped: 'exited' },
  'removal-begun': { configured: 'removing', created: 'removing', stopped: 'removing', exited: 'removing', removing: 'removing' },
}

const NO_PROCESS = { pid: null, pidStartTime: null, monitorPid: null, monitorStartTime: null } as const

/** The only maker of transitions. @throws ERR_CONTAINER_STATE when the event cannot happen in this status. */
export function transition(row: { readonly id: string; readonly status: ContainerStatus }, event: LifecycleEvent): Transition {
  const to = TABLE[event.type][row.status]
  if (to === undefined) throw refused(row, event.type)
  return brandTransition({ from: row.status, to, changes: changesOf(event) })
}

/** Whether an event can happen in a status. */
export function canHappen(type: EventType, status: ContainerStatus): boolean {
  return TABLE[type][status] !== undefined
}

/** For verbs that act on the host before they write down what they did. @throws ERR_CONTAINER_STATE, ERR_CONTAINER_RUNNING */
export function assertCanHappen(type: EventType, row: { readonly id: string; readonly status: ContainerStatus }): void {
  if (!canHappen(type, row.status)) throw refused(row, type)
}

function changesOf(event: LifecycleEvent): StateChanges {
  switch (event.type) {
    case 'initialized': {
      const { type: _, ...process } = event
      return {
        ...process,
        initStep: null,
        startedAt: null,
        finishedAt: null,
        exitCode: null,
        exitSignal: null,
        oomKilled: false,
        error: null,
        stoppedByUser: false,
      }
    }
    case 'started':
      return { startedAt: event.at }
    case 'ran-attached':
      return { startedAt: event.at, bootId: event.bootId, attached: true }
    case 'stop-requested':
      return { stoppedByUser: true }
    case 'exited':
      return {
        ...NO_PROCESS,
        exitCode: event.exitCode,
        exitSignal: event.exitSignal,
        oomKilled: event.oomKilled,
        finishedAt: event.finishedAt,
        error: event.error ?? null,
      }
    case 'cleaned':
      return { ...NO_PROCESS, initStep: null, network: null }
    case 'rebooted':
      return { ...NO_PROCESS, initStep: null, network: null, finishedAt: event.at }
    default:
      return {}
  }
}

const WORDS: { readonly [Type in EventType]: string } = {
  initialized: 'initialize',
  started: 'start',
  'ran-attached': 'run',
  paused: 'pause',
  resumed: 'resume',
  'stop-requested': 'stop',
  exited: 'record the exit of',
  cleaned: 'clean up',
  rebooted: 'reset',
  'removal-begun': 'remove',
}

function refused(row: { readonly id: string; readonly status: ContainerStatus }, type: EventType): PodlibError {
  const code = row.status === 'running' && (type === 'started' || type === 'initialized') ? 'ERR_CONTAINER_RUNNING' : 'ERR_CONTAINER_STATE'
  return new PodlibError(code, `cannot ${WORDS[type]} container ${row.id.slice(0, 12)}: its status is ${row.status}`, {
    details: { id: row.id, status: row.status },
  })
}
