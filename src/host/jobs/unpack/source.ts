import { closeSync, constants, createReadStream, fstatSync, openSync } from 'node:fs'
import { addAbortSignal, Readable } from 'node:stream'
import { growPipe } from '../../sys/libc.ts'
import { PipeReader } from './pipe-reader.ts'

/** What comes in small pieces is inflated in turn with the unpacking instead of beside it. */
const CHUNK_BYTES = 2 * 1024 * 1024
/** The kernel's limit without privilege. */
const PIPE_BYTES = 1024 * 1024

/** A part of a file. */
export interface SourceRange {
  readonly offset: number
  readonly size: number
}

/**
 * Opens a file, a part of one, or a FIFO for reading. A FIFO is read without blocking: a thread-pool thread that waits for
 * a writer could not be told to stop, and four of them stop the process.
 */
export function openSource({ path, range }: { path: string; range?: SourceRange | undefined }, signal: AbortSignal): Readable {
  if (range?.size === 0) return Readable.from([])
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const isFifo = fstatSync(fd).isFIFO()
  if (isFifo) {
    growPipe(fd, PIPE_BYTES)
    // poll(2) tells of the end only to a reader that has had a writer since it opened; a short blob is written, and its
    // writer gone, before this process has begun.
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK))
  }
  const part = range && { start: range.offset, end: range.offset + range.size - 1 }
  const source = isFifo ? new PipeReader(fd, CHUNK_BYTES) : createReadStream(path, { fd, highWaterMark: CHUNK_BYTES, ...part })
  // Whoever reads gets the error; this is for the one that Node emits when an iteration is left early.
  source.on('error', () => {})
  return addAbortSignal(signal, source)
}

/** Closes a source in whatever state it is, and waits until its descriptor is gone. */
export async function closeSource(source: Readable): Promise<void> {
  if (source.closed) return
  const closed = new Promise((resolve) => source.once('close', resolve))
  source.destroy()
  await closed
}
