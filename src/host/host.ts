import type { IdRange } from './id-map.ts'
import type { JobContext } from './job.ts'
import type { JOBS } from './jobs/all.ts'

/**
 * Everything that podlib asks of the machine.
 *
 * The application's process decides; a *host worker*, a small Node process of its own, acts: it mounts,
 * unpacks, changes owners, walks root file systems and starts processes. `Host` is the typed line
 * between the two: one call is one job, with plain values in both directions. The worker is started on
 * the first call, restarted if it died, and ends with the application (also when that is killed).
 *
 * Rootful and rootless differ only in how the worker is started: without privilege it runs as root of a
 * user namespace that a pause process keeps. Nothing above this folder asks which of the two it is.
 *
 * Jobs that keep a processor busy for long, as unpacking a layer, run on a pool of workers, one job at a time each, and wait for their turn.
 *
 * @example
 * ```ts
 * await host.run('mount-rootfs', { lowers, upper, work, target })
 * ```
 */
export interface Host {
  /**
   * Runs a job. An abort is passed on to the job, which undoes its work; the call then rejects with the
   * signal's reason.
   *
   * @throws ERR_HOST_WORKER_DIED when the worker ended in the middle of the job, and whatever the job throws.
   */
  run<Name extends JobName>(name: Name, input: JobInput<Name>, options?: RunJobOptions<JobProgress<Name>>): Promise<JobOutput<Name>>
  /** How the worker sees the machine: which of its abilities callers may plan with. */
  readonly facts: HostFacts
  /** Where this process finds a path at which the worker has mounted something: the two can be in different mount namespaces. */
  visible(path: string): string
  /** Ends the workers. Idempotent; jobs still running are aborted. */
  close(): Promise<void>
}

export interface RunJobOptions<Progress> {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** It writes what another job reads meanwhile: if it waited for its turn, the other could have it and wait for this one. */
  readonly unqueued?: boolean | undefined
}

export type JobName = keyof typeof JOBS
type JobFunction<Name extends JobName> = (typeof JOBS)[Name]
export type JobInput<Name extends JobName> = Parameters<JobFunction<Name>>[0]
export type JobOutput<Name extends JobName> = Awaited<ReturnType<JobFunction<Name>>>
export type JobProgress<Name extends JobName> =
  Parameters<JobFunction<Name>> extends [unknown, JobContext<infer Progress>] ? Progress : never

/** What the worker can do and which ids it has. */
export interface HostFacts {
  /** Whether the worker is in a user namespace, podlib's own or one that the application was started in. */
  readonly inUserNamespace: boolean
  /** Prefix of overlay's extended attributes: `user` inside a user namespace, where mounts get `userxattr`. */
  readonly overlayXattrs: 'trusted' | 'user'
  /** Whether cgroups can be made for containers: without, they have no limits and no statistics. */
  readonly makesCgroups: boolean
  /** The IDs that exist for containers; one range of all IDs when nothing is mapped. */
  readonly uids: readonly IdRange[]
  readonly gids: readonly IdRange[]
}
