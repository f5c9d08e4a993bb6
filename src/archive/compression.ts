import { Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createGzip, createZstdCompress, createZstdDecompress } from 'node:zlib'
import { errorCode, isPodlibError, PodlibError } from '../errors/errors.ts'
import { ZstdFrames } from './zstd-frames.ts'

export type Compression = 'none' | 'gzip' | 'zstd'

/** A stream of node:zlib; `bytesWritten` counts the input that it used. */
type Engine = Transform & { readonly bytesWritten: number }

// 16 KiB, Node's default, makes inflating several times slower.
const CHUNK_BYTES = 1024 * 1024
/** What {@link detectCompression} needs to see. */
export const SNIFF_BYTES = 6
/** One chunk with the consumer, one waiting: inflating (thread pool) overlaps with consuming. */
const CHUNKS_AHEAD = 2
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
const ZSTD_SKIPPABLE_TAIL = Buffer.from([0x2a, 0x4d, 0x18])
const REFUSED: readonly (readonly [string, Buffer])[] = [
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['bzip2', Buffer.from('BZh')],
]

/**
 * Tells the compression from the first bytes ({@link SNIFF_BYTES} are enough): media types lie.
 *
 * @throws ERR_COMPRESSION_UNSUPPORTED for xz and bzip2, which a layer may not use
 */
export function detectCompression(head: Buffer): Compression {
  for (const [name, magic] of REFUSED) {
    if (!head.subarray(0, magic.length).equals(magic)) continue
    throw new PodlibError('ERR_COMPRESSION_UNSUPPORTED', `${name} compression is not supported: use gzip or zstd`, {
      details: { compression: name },
    })
  }
  if (head[0] === 0x1f && head[1] === 0x8b && head[2] === 0x08) return 'gzip'
  const isSkippable = ((head[0] ?? 0) & 0xf0) === 0x50 && head.subarray(1, 4).equals(ZSTD_SKIPPABLE_TAIL)
  return isSkippable || head.subarray(0, 4).equals(ZSTD_MAGIC) ? 'zstd' : 'none'
}

/**
 * Decompresses gzip and zstd, told apart by their first bytes; anything else passes through. Members and
 * frames may follow each other; trailing zeros are tolerated after gzip; other trailing bytes and
 * truncation are ERR_COMPRESSION_INVALID. Reads give the engine's chunks as they are (up to 1 MiB), so
 * the readable side counts chunks.
 */
export class Decompressor extends Transform {
  /** Known once the first bytes have been seen. */
  compression: Compression | undefined
  #head: Buffer[] = []
  #engine: Engine | undefined
  #frames: ZstdFrames | undefined
  #memberEnded = false
  #fail: ((error: unknown) => void) | undefined
  #failure: unknown

  constructor() {
    // One chunk in at a time: when it has been taken its memory is free for the next.
    super({ readableObjectMode: true, readableHighWaterMark: CHUNKS_AHEAD, writableHighWaterMark: 1 })
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#accept(chunk, false).then(() => done(), done)
  }

  override _flush(done: TransformCallback): void {
    this.#finish().then(() => done(), done)
  }

  override _read(size: number): void {
    super._read(size)
    this.#engine?.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#engine?.destroy()
    done(error)
  }

  async #accept(chunk: Buffer, isLast: boolean): Promise<void> {
    if (this.compression !== undefined) return this.#feed(chunk)
    this.#head.push(chunk)
    const length = this.#head.reduce((sum, { length }) => sum + length, 0)
    if (length < SNIFF_BYTES && !isLast) return
    const head = this.#head.length === 1 ? chunk : Buffer.concat(this.#head)
    this.#head = []
    this.compression = detectCompression(head)
    if (this.compression !== 'none') this.#startEngine(this.compression)
    if (head.length > 0) await this.#feed(head)
  }

  async #feed(chunk: Buffer): Promise<void> {
    if (this.#engine === undefined) this.push(chunk)
    else if (this.#frames) for (const piece of this.#frames.push(chunk)) await this.#write(piece)
    else await this.#feedGzip(chunk)
  }

  // Node's gunzip takes no more input after zeros behind a member, and says nothing about what follows them.
  async #feedGzip(chunk: Buffer): Promise<void> {
    const consumed = this.#memberEnded ? 0 : await this.#write(chunk)
    if (consumed === chunk.length) return
    this.#memberEnded = true
    if (chunk.subarray(consumed).some((byte) => byte !== 0)) throw invalid('bytes that are no gzip member follow')
  }

  async #finish(): Promise<void> {
    if (this.compression === undefined) await this.#accept(Buffer.alloc(0), true)
    this.#frames?.end()
    const engine = this.#engine
    // A stream of skippable frames only has no content; the engine would call that a truncation.
    if (engine === undefined || (this.#frames && engine.bytesWritten === 0)) return
    await this.#orFailure((resolve) => {
      if (engine.readableEnded) return resolve(undefined)
      engine.once('end', () => resolve(undefined))
      if (!engine.writableEnded) engine.end()
    })
  }

  #startEngine(compression: 'gzip' | 'zstd'): void {
    const engine = compression === 'gzip' ? createGunzip({ chunkSize: CHUNK_BYTES }) : createZstdDecompress({ chunkSize: CHUNK_BYTES })
    if (compression === 'zstd') this.#frames = new ZstdFrames()
    engine.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) engine.pause()
    })
    engine.on('error', (error) => {
      this.#failure = decompressionError(error)
      this.#fail?.(this.#failure)
    })
    this.#engine = engine
  }

  /** Gives bytes to the engine, waits until it has used them and says how many it took. */
  async #write(bytes: Buffer): Promise<number> {
    const engine = this.#engine as Engine
    const before = engine.bytesWritten
    await this.#orFailure((resolve) => engine.write(bytes, () => resolve(undefined)))
    return engine.bytesWritten - before
  }

  // After a failure the engine calls no write back.
  async #orFailure(start: (resolve: (value: undefined) => void) => void): Promise<void> {
    await new Promise<undefined>((resolve, reject) => {
      this.#fail = reject
      if (this.#failure === undefined) start(resolve)
      else reject(this.#failure)
    })
    if (this.#failure !== undefined) throw this.#failure
  }
}

/**
 * Decompresses a source chunk by chunk. Failures of the source come out as they are.
 *
 * @throws ERR_COMPRESSION_INVALID | ERR_COMPRESSION_UNSUPPORTED
 */
export async function* decompressedChunks(source: AsyncIterable<Buffer>, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const decompressor = new Decompressor()
  const fed = pipeline(source, decompressor, { ...(signal && { signal }) })
  fed.catch(() => {})
  try {
    yield* decompressor as AsyncIterable<Buffer>
  } catch (error) {
    // A failing source destroys the decompressor, which then speaks of an abort: the pipeline knows why.
    await fed
    throw error
  }
}

/** A stream that compresses. The result of gzip depends on nothing but content and level. */
export function createCompressor(compression: 'gzip' | 'zstd', level?: number): Transform {
  if (compression === 'gzip') return createGzip({ chunkSize: CHUNK_BYTES, ...(level !== undefined && { level }) })
  const params = { [constants.ZSTD_c_checksumFlag]: 1, ...(level !== undefined && { [constants.ZSTD_c_compressionLevel]: level }) }
  return createZstdCompress({ chunkSize: CHUNK_BYTES, params })
}

function decompressionError(cause: unknown): PodlibError {
  if (isPodlibError(cause)) return cause
  return invalid(errorCode(cause) === 'Z_BUF_ERROR' ? 'it is cut off' : 'it cannot be decoded', cause)
}

function invalid(what: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_COMPRESSION_INVALID', `compressed data is damaged: ${what}`, { cause })
}
