import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, isPodlibError, PodlibError } from '../errors/errors.ts'
import { endSharedHost } from '../host/open-host.ts'
import { makePrivateDirectory } from '../host/private-directory.ts'
import { flock } from '../host/sys/libc.ts'
import { tryOwnerLock } from '../lock/owner-lock.ts'
import { loadUnsettledContainers } from '../state/container-table.ts'
import type { Database } from '../state/database.ts'
import type { StorePaths } from './paths.ts'
import { expectsProcess } from './reconcile.ts'

/** Makes the directories that have to be there before anything can be locked or read. @throws ERR_STORE_UNREADABLE */
export function makeStoreDirectories(paths: StorePaths, uid: number): void {
  try {
    mkdirSync(paths.root, { recursive: true, mode: 0o700 })
    refuseLinks(paths.root)
    makePrivateDirectory(paths.runRoot, uid)
    mkdirSync(paths.locks, { recursive: true, mode: 0o700 })
  } catch (error) {
    if (isPodlibError(error)) throw error
    const code = errorCode(error)
    const advice =
      code === 'EACCES' || code === 'EPERM'
        ? 'choose a root and runRoot that this user may write, or run as root'
        : 'choose another root or runRoot'
    throw new PodlibError(
      'ERR_STORE_UNREADABLE',
      `cannot make the store at ${paths.root} with run root ${paths.runRoot} (${code}): ${advice}`,
      {
        details: { root: paths.root, runRoot: paths.runRoot, systemCode: code },
        cause: error,
      },
    )
  }
}

/** What is swept would be swept at the other end of a link: somebody's files, of which podlib knows nothing. */
function refuseLinks(root: string): void {
  const link = readdirSync(root, { withFileTypes: true }).find((entry) => entry.isSymbolicLink())
  if (link === undefined) return
  const path = join(root, link.name)
  throw new PodlibError(
    'ERR_STORE_UNREADABLE',
    `cannot open the store at ${root}: ${path} is a symbolic link; to have a part of a store elsewhere use a bind mount`,
    { details: { root, path } },
  )
}

/** To be called after everything else was closed, with the owner lock given back: takes along what nobody else needs. */
export function leaveStoreDirectories(paths: StorePaths, db: Database): void {
  removeIfEmpty(paths.io)
  endIfUnused(paths, db)
}

/** Another runtime of this process may still use it. */
function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTEMPTY') throw error
  }
}

/** Who closes last and leaves no container behind takes along what the hosts of this store have shared. */
function endIfUnused({ runRoot }: StorePaths, db: Database): void {
  const isUsed = () => loadUnsettledContainers(db).some(({ status }) => expectsProcess(status))
  // Looked at first: who holds the lock alone keeps the exit command of a container that ends just now from its work.
  if (isUsed() || !existsSync(runRoot)) return
  const alone = tryOwnerLock({ runRoot, flock })
  if (alone === undefined) return
  try {
    if (!isUsed()) endSharedHost(runRoot)
  } finally {
    alone.release()
  }
}
