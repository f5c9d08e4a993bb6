import type { ExitStatus } from '../host/exit-status.ts'
import type { ConmonCreateOutput } from '../host/jobs/conmon-create.ts'
import type { RuntimeCommand } from '../host/runtime-command.ts'

/**
 * The process that stays with a container when podlib does not: it creates the container through the OCI
 * runtime, holds its streams, writes its log, and leaves a record of its end. There is one for each
 * container, and one for each process in it that is to outlive the application.
 *
 * A record of an end is a file; it is there once and for all when {@link Monitor.watchExits} tells of it,
 * and it stays until {@link Monitor.remove}. A monitor that was killed leaves none.
 */
export interface Monitor {
  readonly name: string
  /** First line of `--version`. */
  version(options?: { readonly signal?: AbortSignal | undefined }): Promise<string>
  /**
   * Creates a container and leaves a monitor with it; the container waits to be started. Leftovers of an
   * earlier life of the same id are removed first. A failed or aborted call leaves nothing behind.
   *
   * @throws what the OCI runtime said (see `OciRuntime`), ERR_MONITOR_FAILED, ERR_TIMEOUT.
   */
  create(request: CreateRequest): Promise<MonitoredProcess>
  /** Starts one more process in a running container and leaves a monitor with it. Its streams are discarded, or logged as `log` says. */
  exec(request: ExecRequest): Promise<MonitoredProcess>
  /** How the container ended, undefined while it has not, or when its monitor was killed. */
  exitRecord(id: string): ExitRecord | undefined
  /** The same for a process that {@link Monitor.exec} started. */
  execRecord(id: string, session: string): ExitRecord | undefined
  /** Waits for the record of such a process; resolves with undefined when its monitor ended without one. */
  execEnded(exec: WatchedExec, signal?: AbortSignal): Promise<ExitRecord | undefined>
  /**
   * Calls back with the id of every container that has a record, now and from now on, until the returned
   * function is called. Does not keep the application's event loop alive.
   */
  watchExits(callback: (id: string) => void): () => void
  /** Removes the records of a container and of the processes started in it. */
  remove(id: string): void
}

interface MonitorRequest {
  /** Arguments that a log driver gave. */
  readonly log: readonly string[]
  readonly runtime: RuntimeCommand
  /** Program and arguments that the monitor runs after the end. */
  readonly exitCommand?: readonly string[] | undefined
  readonly terminal?: boolean | undefined
  /** Keeps standard input open for those who attach; without it there is `/dev/null`. */
  readonly stdin?: boolean | undefined
  /** Existing directories of cgroups that the monitor is to be a member of. */
  readonly cgroups?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

export interface CreateRequest extends MonitorRequest {
  readonly id: string
  readonly name: string
  readonly bundle: string
  /** Text of `config.json`, which is written into the bundle. */
  readonly spec: string
}

export interface ExecRequest extends MonitorRequest {
  /** The running container. */
  readonly id: string
  /** A name for this process, of its own in the container. */
  readonly session: string
  readonly bundle: string
  /** Text of the OCI process object. */
  readonly process: string
}

/** Numbers and start times of the process and its monitor: together they name a process for good. */
export type MonitoredProcess = ConmonCreateOutput

export interface WatchedExec {
  readonly id: string
  readonly session: string
  readonly monitorPid: number
  readonly monitorStartTime: number
}

/** The record of an end. */
export interface ExitRecord extends ExitStatus {
  readonly oomKilled: boolean
  /** Milliseconds since the epoch. */
  readonly finishedAt: number
}
