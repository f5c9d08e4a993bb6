import { join } from 'node:path'
import { type FileLock, type Flock, takeFileLock, tryFileLock } from './file-lock.ts'

/**
 * `<runRoot>/owner.lock`: held shared by every process that has a Runtime open on the store, for as long as it has. A
 * container's exit command, which conmon runs, tries it exclusively: when it gets it nobody is there to clean up and it
 * does so itself; otherwise it leaves the work to whoever is there. The kernel frees it however a process dies, so there
 * is no moment without an answer.
 */
export interface OwnerLockOptions {
  readonly runRoot: string
  readonly flock: Flock
}

/** Declares this process an owner of the store. Waits while an exit command asks whether there is one. */
export function holdOwnerLock({
  runRoot,
  flock,
  signal,
}: OwnerLockOptions & { readonly signal?: AbortSignal | undefined }): Promise<FileLock> {
  const what = `store with run root ${runRoot}`
  return takeFileLock({ path: ownerLockPath(runRoot), flock, shared: true }, { signal, deadline: Number.POSITIVE_INFINITY, what })
}

/**
 * For the exit command: takes the lock when no live process owns the store. Give it back as soon as the object lock of
 * the container is held: a Runtime that opens meanwhile waits for it.
 *
 * @returns undefined when somebody owns the store.
 */
export function tryOwnerLock({ runRoot, flock }: OwnerLockOptions): FileLock | undefined {
  return tryFileLock({ path: ownerLockPath(runRoot), flock, shared: false })
}

/** Where the lock is, for programs that try it themselves. */
export function ownerLockPath(runRoot: string): string {
  return join(runRoot, 'owner.lock')
}
