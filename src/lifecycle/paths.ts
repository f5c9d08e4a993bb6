import { join } from 'node:path'
import { readProcess } from '../host/proc.ts'

/** Where things lie in a store. The drawing is in ARCHITECTURE.md. */
export interface StorePaths {
  readonly root: string
  readonly runRoot: string
  readonly database: string
  readonly locks: string
  /** Held while a process sets up or joins what the hosts of one run root share. */
  readonly hostLock: string
  /** Layers on their way into the store, by process. */
  readonly staging: string
  readonly exits: string
  readonly persist: string
  readonly ociRoot: string
  /** One directory a process that has the store open and streams to or from its workers. A dead process's shows that it did not close. */
  readonly sessions: string
  /** That of this process; not always there. */
  readonly io: string
  /** One empty directory a mount of an image, named by who made it. */
  readonly imageMounts: string
  readonly cache: string
  /** One directory a container in each of these. */
  readonly mounts: string
  readonly bundles: string
  readonly containers: string
  readonly bundle: (containerId: string) => string
  readonly containerDirectory: (containerId: string) => string
  readonly log: (containerId: string) => string
}

export function storePaths(root: string, runRoot: string): StorePaths {
  const sessions = join(runRoot, 'io')
  const [bundles, containers] = [join(runRoot, 'bundles'), join(root, 'containers')]
  const containerDirectory = (id: string) => join(containers, id)
  return {
    root,
    runRoot,
    database: join(root, 'podlib.db'),
    locks: join(runRoot, 'locks'),
    hostLock: join(runRoot, 'host.lock'),
    staging: join(root, 'staging'),
    exits: join(runRoot, 'exits'),
    persist: join(runRoot, 'persist'),
    ociRoot: join(runRoot, 'oci'),
    sessions,
    io: join(sessions, `${process.pid}-${readProcess(process.pid)?.startTime}`),
    imageMounts: join(runRoot, 'image-mounts'),
    cache: join(root, 'cache'),
    mounts: join(runRoot, 'mounts'),
    bundles,
    containers,
    bundle: (id) => join(bundles, id),
    containerDirectory,
    log: (id) => join(containerDirectory(id), 'log'),
  }
}
