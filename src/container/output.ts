import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { isPodlibError, PodlibError } from '../errors/errors.ts'

/** Bytes of one stream that are kept unless the caller says otherwise. */
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/**
 * Output may come from a grandchild that the program left behind with its streams open: nobody waits for that longer than
 * this once the program itself has ended.
 */
const LINGER_MS = 500

/** What is kept of one stream: its beginning. */
export class KeptOutput {
  readonly #chunks: Buffer[] = []
  readonly #what: string
  readonly #maxBytes: number
  #size = 0

  constructor(
    what: 'standard output' | 'standard error',
    { maxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES }: { readonly maxOutputBytes?: number },
  ) {
    this.#what = what
    this.#maxBytes = maxOutputBytes
  }

  /** @throws ERR_OUTPUT_TOO_LARGE when there is more than is kept. */
  add(chunk: Buffer): void {
    const room = this.#maxBytes - this.#size
    if (chunk.length > room) {
      if (room > 0) this.#chunks.push(chunk.subarray(0, room))
      this.#size = this.#maxBytes
      throw tooLarge(this.#what, this.#maxBytes)
    }
    this.#size += chunk.length
    this.#chunks.push(chunk)
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }
}

/** The output of a process while it is collected. */
export interface CollectedOutput {
  /** Settles when the stream has ended; with ERR_OUTPUT_TOO_LARGE when it was too much. */
  readonly done: Promise<void>
}

/** Reads a stream to its end. */
export function collectOutput(stream: Readable | undefined, kept: KeptOutput): CollectedOutput {
  const done = new Promise<void>((resolve, reject) => {
    if (stream === undefined) return resolve()
    stream.on('data', (chunk: Buffer) => {
      try {
        kept.add(chunk)
      } catch (error) {
        reject(error)
      }
    })
    stream.once('close', resolve)
    stream.once('end', resolve)
    stream.once('error', reject)
  })
  done.catch(() => {})
  return { done }
}

/** Waits for the end of the outputs of a process that has ended, within reason. */
export async function drained(outputs: readonly CollectedOutput[]): Promise<void> {
  const timer = new AbortController()
  try {
    await Promise.race([Promise.all(outputs.map(({ done }) => done)), sleep(LINGER_MS, undefined, { signal: timer.signal })])
  } finally {
    timer.abort()
  }
}

/** Both streams of a process, as the caller wants them. */
export interface EncodedOutput<Encoding> {
  readonly stdout: Encoding extends 'buffer' ? Buffer : string
  readonly stderr: Encoding extends 'buffer' ? Buffer : string
}

export function encodeOutput<Encoding>(
  stdout: KeptOutput,
  stderr: KeptOutput,
  { encoding }: { readonly encoding?: Encoding },
): EncodedOutput<Encoding> {
  const encode = (kept: KeptOutput) => (encoding === 'buffer' ? kept.bytes() : kept.bytes().toString('utf8'))
  return { stdout: encode(stdout), stderr: encode(stderr) } as EncodedOutput<Encoding>
}

/** An end that came too early for a result still has what the process had said until then, in its details. */
export function withOutput(error: unknown, output: () => EncodedOutput<unknown>): unknown {
  if (!isPodlibError(error, 'ERR_EXEC_TIMEOUT') && !isPodlibError(error, 'ERR_OUTPUT_TOO_LARGE')) return error
  return new PodlibError(error.code, error.message, { details: { ...error.details, ...output() }, cause: error.cause })
}

function tooLarge(what: string, maxBytes: number): PodlibError {
  return new PodlibError('ERR_OUTPUT_TOO_LARGE', `${what} is more than ${maxBytes} bytes; raise maxOutputBytes, or use a stream`, {
    details: { maxBytes },
  })
}
