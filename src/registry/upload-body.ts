import { createHash } from 'node:crypto'
import { PodlibError } from '../errors/errors.ts'
import { type Digest, digestAlgorithm, digestMismatch } from '../spec/digest.ts'
import type { StreamedBody } from './http.ts'

/** What is to be uploaded: the same bytes at every call of `open`. */
export interface UploadContent {
  readonly digest: Digest
  readonly size: number
  open(): AsyncIterable<Buffer>
}

export interface ProvenBodyOptions {
  /** Bytes that the registry has already; they are read and hashed, but not sent. */
  readonly offset: number
  readonly onProgress?: ((bytes: number) => void) | undefined
}

/** A body that ends early when its bytes are not those that were promised. */
export interface ProvenBody extends StreamedBody {
  /** Why the bytes did not come: what is wrong with them, or what their source threw. Not the fault of the connection. */
  readonly failure: { readonly error: unknown } | undefined
}

/**
 * The bytes of a blob from `offset` on, proven while they are sent. One piece is always held back until the next one is
 * there or all are proven: a request that carries other bytes than promised never becomes complete.
 */
export function provenBody(content: UploadContent, { offset, onProgress }: ProvenBodyOptions): ProvenBody {
  let failure: { readonly error: unknown } | undefined
  async function* open(): AsyncGenerator<Buffer> {
    let sent = offset
    try {
      for await (const piece of proven(content, offset)) {
        // A reader that goes away ends the loop here, without an error.
        yield piece
        sent += piece.length
        onProgress?.(sent)
      }
    } catch (error) {
      failure = { error }
      throw error
    }
  }
  return {
    size: content.size - offset,
    open,
    get failure() {
      return failure
    },
  }
}

async function* proven(content: UploadContent, offset: number): AsyncGenerator<Buffer> {
  const { digest, size } = content
  const hash = createHash(digestAlgorithm(digest))
  let position = 0
  let held: Buffer | undefined
  for await (const chunk of content.open()) {
    const skip = Math.min(chunk.length, Math.max(0, offset - position))
    position += chunk.length
    if (position > size) throw wrongSize(digest, size, `more than ${size} bytes`)
    hash.update(chunk)
    if (skip === chunk.length) continue
    if (held) yield held
    held = skip > 0 ? chunk.subarray(skip) : chunk
  }
  if (position !== size) throw wrongSize(digest, size, `${position} bytes`)
  const actual = `${digestAlgorithm(digest)}:${hash.digest('hex')}`
  if (actual !== digest) throw digestMismatch(digest, actual, 'the blob to be pushed')
  if (held) yield held
}

function wrongSize(digest: Digest, expected: number, found: string): PodlibError {
  return new PodlibError('ERR_SIZE_MISMATCH', `the blob ${digest} to be pushed has ${found}, expected ${expected}; nothing was published`, {
    details: { digest, expected },
  })
}
