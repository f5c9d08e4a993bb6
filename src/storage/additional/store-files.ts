import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, PodlibError } from '../../errors/errors.ts'

/** A small file, and what tells this version of it from the next, which takes its place by a rename. */
export interface StoreFile {
  readonly bytes: Buffer
  readonly stamp: string
}

/**
 * Reads a file of a store that other programs write. The names are the caller's own or have been validated; nothing on the
 * way below the root may be a symbolic link.
 *
 * @returns undefined when it is not there
 * @throws ERR_PERMISSION, ERR_STORE_UNREADABLE
 */
export function readStoreFile(root: string, names: readonly string[], maxBytes: number): StoreFile | undefined {
  const path = join(root, ...names)
  try {
    for (let depth = 1; depth < names.length; depth++) if (!isRealDirectory(join(root, ...names.slice(0, depth)))) return undefined
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
    try {
      const { size, ino, mtimeMs } = assertPlain(fd, path, maxBytes)
      const bytes = Buffer.alloc(size)
      for (let filled = 0; filled < size; ) {
        const read = readSync(fd, bytes, filled, size - filled, filled)
        if (read === 0) throw unreadable(path, 'it became shorter while it was read')
        filled += read
      }
      return { bytes, stamp: `${ino}:${size}:${mtimeMs}` }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw systemError(path, error)
  }
}

/** What the file at a path is now; undefined when there is none. */
export function stampOf(root: string, names: readonly string[]): string | undefined {
  const path = join(root, ...names)
  try {
    const { size, ino, mtimeMs } = lstatSync(path)
    return `${ino}:${size}:${mtimeMs}`
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw systemError(path, error)
  }
}

/** Whether there is a directory that is none by way of a symbolic link. */
export function isRealDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

function unreadable(path: string, why: string): PodlibError {
  return new PodlibError('ERR_STORE_UNREADABLE', `cannot read the image store file ${path}: ${why}`, { details: { path } })
}

function assertPlain(fd: number, path: string, maxBytes: number) {
  const stats = fstatSync(fd)
  if (!stats.isFile()) throw unreadable(path, 'it is no file')
  if (stats.size > maxBytes) throw unreadable(path, `it has ${stats.size} bytes, more than the ${maxBytes} allowed`)
  return stats
}

function systemError(path: string, error: unknown): unknown {
  const code = errorCode(error)
  if (code === 'EACCES' || code === 'EPERM')
    return new PodlibError('ERR_PERMISSION', `this user may not read ${path} of an image store`, { details: { path }, cause: error })
  return code === 'ELOOP' ? unreadable(path, 'it is a symbolic link') : error
}
