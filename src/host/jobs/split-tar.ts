import { closeSync, constants, createWriteStream, fstatSync, openSync, readSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { escapeName } from '../../archive/tar-entry.ts'
import { readTarSplit } from '../../archive/tar-split.ts'
import { errorCode, PodlibError } from '../../errors/errors.ts'
import type { JobContext } from '../job.ts'
import { openInRoot } from '../sys/libc.ts'

export interface SplitTarInput {
  /** The record of the tar. */
  readonly record: string
  /** The unpacked layer. */
  readonly tree: string
  /** A file to be made, or a FIFO that somebody reads. */
  readonly target: string
}

const CHUNK_BYTES = 1024 * 1024
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants

/**
 * Writes the tar of a layer of another program's store, from the unpacked tree and the record beside it. What comes out is
 * as good as the store: whoever reads it compares it with the diff ID.
 *
 * @throws ERR_STORE_CORRUPT, ERR_STORE_UNSUPPORTED
 */
export async function splitTar({ record, tree, target }: SplitTarInput, { signal }: Pick<JobContext, 'signal'>): Promise<void> {
  try {
    await pipeline(chunks(record, tree, signal), createWriteStream(target, { mode: 0o600, highWaterMark: CHUNK_BYTES }), { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

async function* chunks(record: string, tree: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const root = openTree(tree)
  try {
    for await (const part of readTarSplit(record, signal)) {
      if (part.kind === 'raw') yield part.bytes
      else yield* content(root, { ...part, tree })
    }
  } finally {
    closeSync(root)
  }
}

function openTree(tree: string): number {
  try {
    return openSync(tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    throw changed(tree, `it cannot be opened (${errorCode(error)})`, error)
  }
}

interface FilePart {
  readonly tree: string
  readonly name: Buffer
  readonly size: number
}

function* content(root: number, { tree, name, size }: FilePart): Generator<Buffer> {
  const fd = openFile(root, tree, name)
  try {
    if (!fstatSync(fd).isFile()) throw changed(tree, `${escapeName(name)} is no file`)
    for (let left = size; left > 0; ) {
      const chunk = Buffer.allocUnsafe(Math.min(left, CHUNK_BYTES))
      const read = readSync(fd, chunk, 0, chunk.length, null)
      if (read === 0) throw changed(tree, `${escapeName(name)} is shorter than it was`)
      yield chunk.subarray(0, read)
      left -= read
    }
  } finally {
    closeSync(fd)
  }
}

function openFile(root: number, tree: string, name: Buffer): number {
  try {
    return openInRoot(root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  } catch (error) {
    throw changed(tree, `${escapeName(name)} cannot be opened (${errorCode(error)})`, error)
  }
}

function changed(tree: string, what: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_STORE_CORRUPT', `cannot read the layer in ${tree}: ${what}`, { details: { tree }, cause })
}
