import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { errorCode } from '../../errors/errors.ts'
import { openInRoot } from '../sys/libc.ts'

export interface ReadInRootInput {
  readonly root: string
  /** Paths as the container sees them. */
  readonly paths: readonly string[]
  /** At most so many bytes of each are read: an image may hold a file of any size. */
  readonly maxBytes: number
}

const MISSING: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EACCES'])

/**
 * Reads small files of an untrusted root file system. Links are resolved as the container would; anything
 * but a regular file reads as absent, so that a FIFO or device planted there can hang nothing
 * (CVE-2024-9676).
 */
export function readInRoot({ root, paths, maxBytes }: ReadInRootInput): (Uint8Array | undefined)[] {
  const rootFd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return paths.map((path) => readOne(rootFd, path, maxBytes))
  } finally {
    closeSync(rootFd)
  }
}

function readOne(rootFd: number, path: string, maxBytes: number): Uint8Array | undefined {
  let fd: number
  try {
    fd = openInRoot(rootFd, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    if (MISSING.has(errorCode(error))) return undefined
    throw error
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) return undefined
    const bytes = Buffer.alloc(Math.min(stat.size, maxBytes))
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}
