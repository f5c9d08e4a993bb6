import type { Context } from '../lifecycle/context.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { type ExecOptions, type ExecResult, execInContainer, type OutputEncoding, type SpawnOptions, spawnInContainer } from './exec.ts'
import { ignoreRemoved } from './ignore-removed.ts'
import { type ContainerInfo, inspectContainer } from './inspect.ts'
import { killContainer } from './kill.ts'
import { type LogEntry, type LogOptions, readLogs } from './logs.ts'
import { pauseContainer, resumeContainer } from './pause.ts'
import type { ContainerProcess } from './process.ts'
import { REMOVE_OPTIONS, type RemoveOptions, removeContainer } from './remove.ts'
import { startContainer } from './start.ts'
import { type ContainerStats, type StatsOptions, streamStats } from './stats.ts'
import { type StopOptions, stopContainer } from './stop.ts'
import { type ExitStatus, waitForExit } from './wait.ts'

/** Options of a verb that can only be given up. @public */
export interface AbortOptions {
  /** Gives up waiting, with the signal's reason. */
  readonly signal?: AbortSignal
}

export const ABORT_OPTIONS: OptionNames<AbortOptions> = { signal: true }

/**
 * A container of the store. A thin handle: id and name never change, everything else is read when it is asked.
 *
 * @public
 */
export class Container {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly name: string
  readonly #context: Context

  /** @internal */
  constructor(context: Context, id: string, name: string) {
    this.#context = context
    this.id = id
    this.name = name
  }

  /**
   * Starts it. An abort while it is being made undoes what was made.
   *
   * @throws ERR_CONTAINER_RUNNING, ERR_CONTAINER_STATE, ERR_OCI_COMMAND_NOT_FOUND, ERR_OCI_RUNTIME, ERR_MOUNT_FAILED
   */
  async start(options: AbortOptions = {}): Promise<void> {
    checkOptions('start', options, ABORT_OPTIONS)
    return startContainer(this.#context, this.id, options.signal)
  }

  /** Asks it to end, kills it when it does not in time, and cleans up. Stopping one that has ended does nothing. */
  stop(options?: StopOptions): Promise<void> {
    return stopContainer(this.#context, this.id, options)
  }

  /** Sends a signal to its first process. @defaultValue 'SIGKILL' */
  async kill(killSignal: string | number = 'SIGKILL', options: AbortOptions = {}): Promise<void> {
    checkOptions('kill', options, ABORT_OPTIONS)
    return killContainer(this.#context, this.id, killSignal, options.signal)
  }

  /** Freezes all of its processes. */
  async pause(options: AbortOptions = {}): Promise<void> {
    checkOptions('pause', options, ABORT_OPTIONS)
    return pauseContainer(this.#context, this.id, options.signal)
  }

  /** Lets them go on. */
  async resume(options: AbortOptions = {}): Promise<void> {
    checkOptions('resume', options, ABORT_OPTIONS)
    return resumeContainer(this.#context, this.id, options.signal)
  }

  /**
   * Waits for its end and tells how it was; at once when it does not run. As with podman, one that was never started does not wait
   * either, and its code is 0: start it first, or look at `inspect().status`.
   *
   * @throws ERR_CONTAINER_NOT_FOUND when nothing is known of it any more, ERR_RUNTIME_CLOSED, and the signal's reason
   */
  async wait(options: AbortOptions = {}): Promise<ExitStatus> {
    checkOptions('wait', options, ABORT_OPTIONS)
    return waitForExit(this.#context, this.id, options.signal)
  }

  /**
   * Runs one more process in it to its end and collects what it says. A code other than 0 is no error. What it leaves behind in
   * the background is not waited for (with runc it is: runc waits until nobody holds the streams).
   *
   * What it said before its time was over, or until it was too much, is in `stdout` and `stderr` of the error's `details`: at most
   * `maxOutputBytes` of each, in the `encoding` that was asked for.
   *
   * @throws ERR_CONTAINER_STATE when it does not run, ERR_OCI_COMMAND_NOT_FOUND, ERR_OCI_RUNTIME_PERMISSION, ERR_USER_NOT_FOUND,
   * ERR_EXEC_TIMEOUT, ERR_OUTPUT_TOO_LARGE, ERR_INVALID_ARGUMENT, and the signal's reason
   */
  exec<Encoding extends OutputEncoding = 'utf8'>(argv: readonly string[], options?: ExecOptions<Encoding>): Promise<ExecResult<Encoding>> {
    return execInContainer(this.#context, this.id, argv, options)
  }

  /** Starts one more process in it and gives its streams. */
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<ContainerProcess> {
    return spawnInContainer(this.#context, this.id, argv, options)
  }

  /** What it wrote, line by line; with `follow` until it ends. @throws ERR_CONTAINER_NO_LOGS when it keeps none */
  logs(options?: LogOptions): AsyncIterable<LogEntry> {
    return readLogs(this.#context, this.id, options)
  }

  /** What it uses, now and then every interval, until it ends. */
  stats(options?: StatsOptions): AsyncIterable<ContainerStats> {
    return streamStats(this.#context, this.id, options)
  }

  /** A snapshot of everything known about it. */
  inspect(): Promise<ContainerInfo> {
    return inspectContainer(this.#context, this.id)
  }

  /** Removes it with all that it wrote. @throws ERR_CONTAINER_STATE when it runs, unless `force` is given */
  async remove(options: RemoveOptions = {}): Promise<void> {
    checkOptions('remove', options, REMOVE_OPTIONS)
    return removeContainer(this.#context, this.id, options)
  }
}

/** A container that goes with the scope it was made in: `await using` removes it. @public */
export class EphemeralContainer extends Container implements AsyncDisposable {
  /** Kills and removes it; one that is gone already is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove({ force: true }).catch(ignoreRemoved)
  }
}
