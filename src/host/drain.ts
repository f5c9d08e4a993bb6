import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { growPipe, mkfifo } from './sys/libc.ts'

/** A FIFO that a job of the worker writes and the application reads: the other direction of a feed. */
export interface Drain {
  readonly path: string
  readonly stream: Readable
  /** The job is done: what it wrote can still be read, and then the stream ends. */
  end(): void
  /** Gives everything up; to be called in any case, also when all was read. A job that still writes fails. */
  close(): void
}

const PIPE_BYTES = 1 << 20
const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

/** Makes a FIFO at `path`. The job may open it at any time: there is a reader, and until `end` no end of file. */
function openDrain(path: string): Drain {
  mkfifo(path, 0o600)
  const fd = openSync(path, O_RDONLY | O_NONBLOCK)
  let placeholder: number | undefined = openSync(path, O_WRONLY | O_NONBLOCK)
  growPipe(fd, PIPE_BYTES)
  const stream = new Socket({ fd, readable: true, writable: false })
  // Whoever reads hears of errors; after that nobody listens any more.
  stream.on('error', () => {})
  const end = () => {
    if (placeholder !== undefined) closeSync(placeholder)
    placeholder = undefined
  }
  return {
    path,
    stream,
    end,
    close() {
      end()
      stream.destroy()
      rmSync(path, { force: true })
    },
  }
}

/**
 * The bytes that a job writes to a FIFO at `path`, while it writes them. Leaving early stops the job; its failure comes out
 * where the bytes do.
 */
export async function* drainJob(
  path: string,
  job: (signal: AbortSignal) => Promise<unknown>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const left = new AbortController()
  const drain = openDrain(path)
  const writing = job(signal ? AbortSignal.any([signal, left.signal]) : left.signal).then(
    () => drain.end(),
    (error: Error) => void drain.stream.destroy(error),
  )
  try {
    yield* drain.stream as AsyncIterable<Buffer>
  } finally {
    left.abort()
    drain.close()
    await writing
  }
}
