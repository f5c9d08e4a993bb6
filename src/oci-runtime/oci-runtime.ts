import type { AttachedProcess } from '../host/attached-process.ts'
import type { AttachedEnd } from '../host/attached-runtime.ts'
import type { RuntimeCommand } from '../host/runtime-command.ts'
import type { StdioMode } from '../host/stdio.ts'
import type { RuntimeSpec, SpecProcess, SpecResources } from '../spec/runtime.ts'

/**
 * The program that makes containers out of bundles: crun, runc, or another with their command line.
 *
 * Containers with a monitor are created by the monitor, which is given {@link OciRuntime.command}; all
 * other verbs are here. Containers without a monitor are made by {@link OciRuntime.run}. The runtime keeps
 * its state in a directory of podlib's own, so nothing mixes with containers of other tools.
 *
 * Every method rejects with what the runtime said, as one of
 * - ERR_OCI_CONTAINER_NOT_FOUND: the runtime does not know the container;
 * - ERR_CONTAINER_STATE: it is running, paused or stopped when it should not be;
 * - ERR_OCI_COMMAND_NOT_FOUND, ERR_OCI_RUNTIME_PERMISSION: the program in the container cannot be started;
 * - ERR_CGROUP_LAYOUT: crun does not support the host's cgroups as they are mounted;
 * - ERR_OCI_RUNTIME: anything else.
 *
 * An abort kills the runtime's process and rejects with the signal's reason; whether the verb took effect
 * is then not known. `run` and `exec` also end what they started.
 */
export interface OciRuntime {
  /** `crun`, `runc`, or the base name of another. */
  readonly name: string
  /** How it is called, for the monitor. */
  readonly command: RuntimeCommand
  /** First line of `--version`. */
  version(options?: CallOptions): Promise<string>
  /**
   * The spec to write for a container: without annotations that steer the runtime from inside the image,
   * with those that make it faster. To be called before the container is created or run.
   */
  prepareSpec(id: string, spec: RuntimeSpec): Promise<RuntimeSpec>
  /** Starts a created container. */
  start(id: string, options?: CallOptions): Promise<void>
  /** Sends a signal to the first process, or to all where the container has no PID namespace of its own. */
  kill(id: string, signal: number, options?: CallOptions & { readonly all?: boolean }): Promise<void>
  /** Stops all processes of the container from running, or lets them run again. */
  setPaused(id: string, paused: boolean, options?: CallOptions): Promise<void>
  /** Changes the limits of a running container; what is left out stays. */
  update(id: string, resources: SpecResources, options?: CallOptions): Promise<void>
  /** Removes the container, `force` killing it first. One that is not there is no error. */
  delete(id: string, options?: CallOptions & { readonly force?: boolean }): Promise<void>
  /** Creates, starts, attends and deletes a container in one call, without a monitor. Resolves when it is started. */
  run(request: RunRequest): Promise<AttachedProcess<AttachedEnd>>
  /** Runs one more process in a running container. Resolves when the streams are connected. */
  exec(request: ExecRequest): Promise<AttachedProcess<AttachedEnd>>
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/** What `run` and `exec` have in common. */
export interface AttachedRequest extends CallOptions {
  readonly id: string
  /** For the short-lived FIFOs; see `openStdio`. */
  readonly ioDirectory: string
  readonly stdin?: StdioMode | undefined
  readonly stdout?: StdioMode | undefined
  readonly stderr?: StdioMode | undefined
  /** Everything that was started is killed after that time. */
  readonly timeoutMs?: number | undefined
  /** See `RunAttachedInput`. */
  readonly memoryCgroup?: string | undefined
}

export interface RunRequest extends AttachedRequest {
  /** Directory of the bundle; `config.json` is written there. */
  readonly bundle: string
  /** A directory that something must be mounted at by then, be it by a job that was sent just before. @throws ERR_MOUNT_FAILED */
  readonly mountPoint?: string | undefined
  readonly spec: RuntimeSpec
}

export interface ExecRequest extends AttachedRequest {
  readonly process: SpecProcess
  /** See `ExecAttachedInput`. */
  readonly awaitProgram?: number | undefined
}
