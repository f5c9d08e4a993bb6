import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { releaseChunk } from '../archive/release-chunk.ts'
import { growPipe, mkfifo } from './sys/libc.ts'

/** A FIFO that the application writes and a job of the worker reads. */
export interface Feed {
  readonly path: string
  readonly stream: Writable
  /** Gives everything up; to be called in any case, also when all was written. */
  close(): void
}

/** Less than this and a fast registry waits for the worker at every turn. The kernel's limit without privilege. */
const PIPE_BYTES = 1 << 20

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

/** Makes a FIFO at `path`. The job may open it at any time: it neither blocks nor meets an early end of file. */
export function openFeed(path: string): Feed {
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
