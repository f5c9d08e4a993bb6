import { createHash, type Hash } from 'node:crypto'
import { Transform, type TransformCallback } from 'node:stream'
import { PodlibError } from '../errors/errors.ts'
import { type Digest, digestAlgorithm, digestMismatch } from '../spec/digest.ts'
import { releaseChunk } from './release-chunk.ts'
import { ThreadedHash } from './threaded-hash.ts'

/** What a stream must turn out to be. */
export interface ExpectedContent {
  readonly digest: Digest | undefined
  readonly size: number | undefined
  /** For the error: `layer blob`, `image config`. */
  readonly what: string
}

/** Hashes and counts bytes as they go by, and compares at the end. */
export class ContentMeter {
  readonly #expected: ExpectedContent
  readonly #algorithm: 'sha256' | 'sha512'
  readonly #hash: Hash | ThreadedHash
  #size = 0
  #hex: string | undefined

  /** @param threaded - Hashes on a thread of its own; end it with {@link ContentMeter.finished} or {@link ContentMeter.close}. */
  constructor(expected: ExpectedContent, threaded = false) {
    this.#expected = expected
    this.#algorithm = expected.digest ? digestAlgorithm(expected.digest) : 'sha256'
    this.#hash = threaded ? new ThreadedHash(this.#algorithm) : createHash(this.#algorithm)
  }

  get size(): number {
    return this.#size
  }

  /** For one without a thread. @throws ERR_SIZE_MISMATCH as soon as there are more bytes than expected */
  update(bytes: Uint8Array): void {
    this.#count(bytes.length)
    ;(this.#hash as Hash).update(bytes)
  }

  /** The same, and gives the memory back: neither the chunk nor a view of it may be used any more. */
  take(chunk: Buffer): void {
    this.#count(chunk.length)
    if (this.#hash instanceof ThreadedHash) {
      this.#hash.take(chunk)
      return
    }
    this.#hash.update(chunk)
    releaseChunk(chunk)
  }

  /** For one without a thread. May be asked again: who heard it first need not be who tells of it. @throws ERR_SIZE_MISMATCH | ERR_DIGEST_MISMATCH */
  finish(): Digest {
    this.#hex ??= (this.#hash as Hash).digest('hex')
    return this.#compare(this.#hex)
  }

  /** @throws ERR_SIZE_MISMATCH | ERR_DIGEST_MISMATCH */
  async finished(): Promise<Digest> {
    return this.#compare(await (this.#hash as Pick<ThreadedHash, 'digest'>).digest('hex'))
  }

  /** Ends the thread if there is one. */
  async close(): Promise<void> {
    if (this.#hash instanceof ThreadedHash) await this.#hash.close()
  }

  #count(bytes: number): void {
    this.#size += bytes
    const { size } = this.#expected
    if (size !== undefined && this.#size > size) throw this.#sizeMismatch(`more than ${size}`)
  }

  #compare(hex: string): Digest {
    const { digest: expected, size, what } = this.#expected
    if (size !== undefined && this.#size !== size) throw this.#sizeMismatch(String(this.#size))
    const actual: Digest = `${this.#algorithm}:${hex}`
    if (expected !== undefined && actual !== expected) throw digestMismatch(expected, actual, what)
    return actual
  }

  #sizeMismatch(actual: string): PodlibError {
    const { size, what } = this.#expected
    return new PodlibError('ERR_SIZE_MISMATCH', `${what} has ${actual} bytes, expected ${size}`, {
      details: { expected: size, actual: this.#size, what },
    })
  }
}

/**
 * Passes bytes on and fails at the end of a stream that is not what it should be. The last bytes have
 * been passed on by then: use nothing of it before the stream has ended well.
 */
export class VerifiedStream extends Transform {
  readonly #meter: ContentMeter
  /** The digest found, once the stream has ended. */
  digest: Digest | undefined

  constructor(expected: ExpectedContent) {
    super()
    this.#meter = new ContentMeter(expected)
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#attempt(() => this.#meter.update(chunk), done, chunk)
  }

  override _flush(done: TransformCallback): void {
    this.#attempt(() => (this.digest = this.#meter.finish()), done)
  }

  #attempt(action: () => void, done: TransformCallback, chunk?: Buffer): void {
    let failure: Error | null = null
    try {
      action()
    } catch (error) {
      failure = error as Error
    }
    done(failure, chunk)
  }
}
