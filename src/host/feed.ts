import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { releaseChunk } from '../archive/release-chunk.ts'
import { growPipe, mkfifo } from './sys/libc.ts'

/** A FIFO that the application writes and a job of the worker reads. */
interface Feed {
  readonly path: string
  readonly stream: Writable
  /** Gives everything up; to be called in any case, also when all was written. */
  close(): void
}

/** Less than this and a fast registry waits for the worker at every turn. The kernel's limit without privilege. */
const PIPE_BYTES = 1 << 20

/** What ends when it is told to has done so by then, and has nothing open any more. */
const PATIENCE_MS = 2_000

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

/** Makes a FIFO at `path`. The job may open it at any time: it neither blocks nor meets an early end of file. */
function openFeed(path: string): Feed {
  mkfifo(path, 0o600)
  // A FIFO can be opened for writing only while somebody reads; until the job does, that is us.
  const placeholder = openSync(path, O_RDONLY | O_NONBLOCK)
  const fd = openSync(path, O_WRONLY | O_NONBLOCK)
  growPipe(fd, PIPE_BYTES)
  const socket = new Socket({ fd, readable: false, writable: true, allowHalfOpen: true })
  // A socket is a duplex, whose end a pipeline would wait for on both sides.
  const stream = new Writable({
    highWaterMark: 256 * 1024,
    write: (chunk: Buffer, _encoding, done) =>
      socket.write(chunk, (error) => {
        // Else what was received piles up: the collector's work for it takes longer than the transfer.
        releaseChunk(chunk)
        done(error)
      }),
    // The reader's end of file is the close: a FIFO cannot be shut down on one side like a socket.
    final: (done) => void socket.once('close', () => done()).end(() => socket.destroy()),
  })
  // Whoever pipes into it hears of errors; after that nobody listens any more.
  for (const one of [socket, stream]) one.on('error', () => {})
  return {
    path,
    stream,
    close() {
      stream.destroy()
      socket.destroy()
      closeSync(placeholder)
      rmSync(path, { force: true })
    },
  }
}

export interface FeedJobInput<Output> {
  /** Where the FIFO is made. */
  readonly path: string
  readonly source: Readable
  /** Reads the FIFO to its end. */
  readonly job: (signal: AbortSignal) => Promise<Output>
  /** Takes back what the job has made, where the source failed all the same. */
  readonly undo?: (output: Output) => Promise<void>
  readonly signal: AbortSignal
}

/** Runs a job on what a source gives, while it gives it. Whichever fails first stops the other, and its error is the one that tells. */
export async function feedJob<Output>({ path, source, job, undo, signal }: FeedJobInput<Output>): Promise<Output> {
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  const feed = openFeed(path)
  const stop = (error: unknown): never => {
    if (!failed.signal.aborted) failed.abort(error)
    throw error
  }
  try {
    const fed = pipeline(source, feed.stream, { signal: either }).catch(stop)
    const [outcome] = await Promise.allSettled([job(either).catch(stop), endOf(fed, either)])
    const isDone = outcome.status === 'fulfilled'
    if (isDone && !either.aborted) return outcome.value
    if (isDone) await undo?.(outcome.value)
    signal.throwIfAborted()
    throw failed.signal.reason
  } finally {
    source.destroy()
    feed.close()
  }
}

/** Waits for a source; when it is told to end, no longer than some time: an iterator of the caller's may wait for ever. */
async function endOf(fed: Promise<void>, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  let told: (() => void) | undefined
  const givenUp = new Promise<never>((_, reject) => {
    told = () => {
      timer = setTimeout(reject, PATIENCE_MS, signal.reason)
    }
    if (signal.aborted) told()
    else signal.addEventListener('abort', told, { once: true })
  })
  try {
    await Promise.race([fed, givenUp])
  } finally {
    clearTimeout(timer)
    if (told) signal.removeEventListener('abort', told)
  }
}
