import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { assertDigest, type Digest } from '../spec/digest.ts'
import type { FileRange } from './image-source.ts'

/**
 * The files of an image layout by name, wherever they are: in a directory, or in a tar. Names are relative, with
 * slashes, and come from podlib or from a validated digest.
 * A name of a stranger is only ever looked up in the index of a tar.
 */
export interface FileSet {
  /** For messages: `oci-archive:/tmp/a.tar`. */
  readonly where: string
  has(name: string): Promise<boolean>
  /** Where a regular file is. @throws ERR_BLOB_NOT_FOUND */
  locate(name: string): Promise<FileRange & { readonly size: number }>
  /** A small file in memory. @throws ERR_BLOB_NOT_FOUND, ERR_ARCHIVE_TOO_LARGE */
  read(name: string, limits: { readonly maxBytes: number; readonly signal?: AbortSignal | undefined }): Promise<Buffer>
}

/** The files below a directory. Symbolic links are followed, for build systems that make layouts of links. */
export function directoryFiles(directory: string, where: string): FileSet {
  const locate = async (name: string) => {
    const path = join(directory, name)
    const file = await openRegular(path, where, name)
    try {
      return { path, offset: 0, size: (await file.stat()).size }
    } finally {
      await file.close()
    }
  }
  return {
    where,
    has: (name) => locate(name).then(() => true, notFoundIsFalse),
    locate,
    async read(name, { maxBytes, signal }) {
      const file = await openRegular(join(directory, name), where, name)
      try {
        return await readRange(file, { offset: 0, size: (await file.stat()).size, maxBytes, what: `${name} of ${where}`, signal })
      } finally {
        await file.close()
      }
    },
  }
}

/** What has to be known to read a part of a file into memory. */
export interface ReadRange {
  readonly offset: number
  readonly size: number
  readonly maxBytes: number
  /** For the error message. */
  readonly what: string
  readonly signal: AbortSignal | undefined
}

/** @throws ERR_ARCHIVE_TOO_LARGE before anything is read, ERR_ARCHIVE_INVALID when the file is shorter */
export async function readRange(file: FileHandle, { offset, size, maxBytes, what, signal }: ReadRange): Promise<Buffer> {
  if (size > maxBytes) {
    throw new PodlibError('ERR_ARCHIVE_TOO_LARGE', `${what} has ${size} bytes, more than the ${maxBytes} allowed`, {
      details: { size, maxBytes },
    })
  }
  const bytes = Buffer.alloc(size)
  for (let filled = 0; filled < size; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(bytes, filled, size - filled, offset + filled)
    if (bytesRead === 0) throw new PodlibError('ERR_ARCHIVE_INVALID', `${what} became shorter while it was read`)
    filled += bytesRead
  }
  return bytes
}

/** Reads a file of a set and proves it. @throws ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH */
export async function readProven(
  files: FileSet,
  name: string,
  expected: { digest: Digest; size?: number; maxBytes: number; signal: AbortSignal | undefined },
): Promise<Buffer> {
  const bytes = await files.read(name, expected)
  const what = `${name} of ${files.where}`
  if (expected.size !== undefined && bytes.length !== expected.size) {
    throw new PodlibError('ERR_SIZE_MISMATCH', `${what} has ${bytes.length} bytes, expected ${expected.size}`, {
      details: { expected: expected.size, actual: bytes.length, what },
    })
  }
  assertDigest(expected.digest, bytes, what)
  return bytes
}

/** Opens a file that is one: a FIFO or device in its place must neither hang nor be read. */
async function openRegular(path: string, where: string, name: string): Promise<FileHandle> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO') throw missing(where, name)
    if (code !== 'EACCES' && code !== 'EPERM') throw error
    throw new PodlibError('ERR_PERMISSION', `this user may not read ${name} of ${where}`, { details: { path }, cause: error })
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw missing(where, name)
}

export function missing(where: string, name: string): PodlibError {
  return new PodlibError('ERR_BLOB_NOT_FOUND', `${where} has no file ${JSON.stringify(name.slice(0, 200))}`, { details: { where, name } })
}

function notFoundIsFalse(error: unknown): false {
  if (errorCode(error) === 'ERR_BLOB_NOT_FOUND') return false
  throw error
}
