import { createHash, type Hash } from 'node:crypto'
import { Transform, type TransformCallback } from 'node:stream'
import { PodlibError } from '../errors/errors.ts'
import { type Digest, digestAlgorithm, digestMismatch } from '../spec/digest.ts'

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
  readonly #hash: Hash
  #size = 0
  #hex: string | undefined

  constructor(expected: ExpectedContent) {
    this.#expected = expected
    this.#algorithm = expected.digest ? digestAlgorithm(expected.digest) : 'sha256'
    this.#hash = createHash(this.#algorithm)
  }

  get size(): number {
    return this.#size
  }

  /** @throws ERR_SIZE_MISMATCH as soon as there are more bytes than expected */
  update(bytes: Uint8Array): void {
    this.#size += bytes.length
    const { size } = this.#expected
    if (size !== undefined && this.#size > size) throw this.#sizeMismatch(`more than ${size}`)
    this.#hash.update(bytes)
  }

  /** May be asked again: who heard it first need not be who tells of it. @throws ERR_SIZE_MISMATCH | ERR_DIGEST_MISMATCH */
  finish(): Digest {
    this.#hex ??= this.#hash.digest('hex')
    return this.#compare(this.#hex)
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
