import { join } from 'node:path'

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
  readonly io: string
  readonly cache: string
  readonly bundle: (containerId: string) => string
  readonly containerDirectory: (containerId: string) => string
  readonly log: (containerId: string) => string
}

export function storePaths(root: string, runRoot: string): StorePaths {
  const containerDirectory = (id: string) => join(root, 'containers', id)
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
    io: join(runRoot, 'io'),
    cache: join(root, 'cache'),
    bundle: (id) => join(runRoot, 'bundles', id),
    containerDirectory,
    log: (id) => join(containerDirectory(id), 'log'),
  }
}
