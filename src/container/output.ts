import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { PodlibError } from '../errors/errors.ts'

/** Bytes of one stream that are kept unless the caller says otherwise. */
export const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/**
 * Output may come from a grandchild that the program left behind with its streams open: nobody waits for that longer than
 * this once the program itself has ended.
 */
const LINGER_MS = 500

/** The output of a process while it is collected. */
export interface CollectedOutput {
  /** Settles when the stream has ended; with ERR_OUTPUT_TOO_LARGE when it was too much. */
  readonly done: Promise<void>
  bytes(): Buffer
}

/** Reads a stream to its end, keeping at most `maxBytes`. */
export function collectOutput(stream: Readable | undefined, maxBytes: number, what: string): CollectedOutput {
  const chunks: Buffer[] = []
  let size = 0
  const done = new Promise<void>((resolve, reject) => {
    if (stream === undefined) return resolve()
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > maxBytes) return reject(tooLarge(what, maxBytes))
      chunks.push(chunk)
    })
    stream.once('close', resolve)
    stream.once('end', resolve)
    stream.once('error', reject)
  })
  done.catch(() => {})
  return { done, bytes: () => Buffer.concat(chunks) }
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

export function tooLarge(what: string, maxBytes: number): PodlibError {
  return new PodlibError('ERR_OUTPUT_TOO_LARGE', `${what} is more than ${maxBytes} bytes; raise maxOutputBytes, or use a stream`, {
    details: { maxBytes },
  })
}
