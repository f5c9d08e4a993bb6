import { PodlibError } from '../errors/errors.ts'

type Step = 'magic' | 'skippable-size' | 'skippable' | 'descriptor' | 'header' | 'block-header' | 'block' | 'checksum'

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const FIELD_LENGTH: Partial<Record<Step, number>> = { magic: 4, 'skippable-size': 4, descriptor: 1, 'block-header': 3 }
const BLOCK_RLE = 1
const BLOCK_RESERVED = 3

/**
 * Finds the frames in a zstd stream (RFC 8878, section 3). Node's decoder stops without a word at the
 * end of the first frame, and in Node 22 at a truncation too, but goes on with the next frame when each
 * write ends where a frame ends. zstd:chunked layers, pzstd output and `cat a.zst b.zst` have many
 * frames; skippable ones are dropped here.
 */
export class ZstdFrames {
  #step: Step = 'magic'
  /** A fixed-size field; it may come in pieces. */
  readonly #field = Buffer.alloc(4)
  #filled = 0
  /** Bytes of the current step that need no look. */
  #skip = 0
  #lastBlock = false
  #hasChecksum = false

  /**
   * Cuts a chunk into pieces for the decoder, none reaching beyond the end of a frame.
   *
   * @throws ERR_COMPRESSION_INVALID for bytes that are no frame
   */
  push(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = []
    let position = 0
    let start = this.#inFrame() ? 0 : -1
    while (position < chunk.length) {
      const wasMagic = this.#step === 'magic'
      position += this.#advance(chunk, position)
      if (wasMagic && this.#inFrame()) {
        // A magic number that came in pieces was held back until it was known.
        if (position < 4) pieces.push(Buffer.from(this.#field))
        start = position < 4 ? position : position - 4
      }
      if (start >= 0 && this.#step === 'magic' && !wasMagic) {
        pieces.push(chunk.subarray(start, position))
        start = -1
      }
    }
    if (start >= 0 && start < chunk.length) pieces.push(chunk.subarray(start))
    return pieces
  }

  /** @throws ERR_COMPRESSION_INVALID when the stream ends inside a frame */
  end(): void {
    if (this.#step !== 'magic' || this.#filled > 0) throw invalidZstd('it is cut off')
  }

  #inFrame(): boolean {
    return this.#step !== 'magic' && this.#step !== 'skippable-size' && this.#step !== 'skippable'
  }

  /** Consumes what it can of the current step and returns how much that was. */
  #advance(chunk: Buffer, position: number): number {
    const length = FIELD_LENGTH[this.#step]
    if (length === undefined) {
      const used = Math.min(this.#skip, chunk.length - position)
      this.#skip -= used
      if (this.#skip === 0) this.#skipped()
      return used
    }
    const used = chunk.copy(this.#field, this.#filled, position, position + length - this.#filled)
    this.#filled += used
    if (this.#filled < length) return used
    this.#filled = 0
    this.#fieldRead()
    return used
  }

  #fieldRead(): void {
    if (this.#step === 'magic') {
      const magic = this.#field.readUInt32LE()
      const isSkippable = (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC
      if (magic !== MAGIC && !isSkippable) throw invalidZstd('bytes that are no frame follow')
      this.#step = isSkippable ? 'skippable-size' : 'descriptor'
    } else if (this.#step === 'skippable-size') this.#goOn('skippable', this.#field.readUInt32LE())
    else if (this.#step === 'descriptor') this.#descriptor(this.#field.readUInt8())
    else this.#blockHeader(this.#field.readUIntLE(0, 3))
  }

  #descriptor(flags: number): void {
    const singleSegment = (flags >> 5) & 1
    this.#hasChecksum = (flags & 4) !== 0
    const dictionaryId = [0, 1, 2, 4][flags & 3] ?? 0
    const contentSize = [singleSegment, 2, 4, 8][flags >> 6] ?? 0
    this.#goOn('header', 1 - singleSegment + dictionaryId + contentSize)
  }

  #blockHeader(bits: number): void {
    const type = (bits >> 1) & 3
    if (type === BLOCK_RESERVED) throw invalidZstd('a block has a reserved type')
    this.#lastBlock = (bits & 1) === 1
    this.#goOn('block', type === BLOCK_RLE ? 1 : bits >> 3)
  }

  #goOn(step: Step, skip: number): void {
    this.#step = step
    this.#skip = skip
    if (skip === 0) this.#skipped()
  }

  #skipped(): void {
    if (this.#step === 'header' || (this.#step === 'block' && !this.#lastBlock)) this.#step = 'block-header'
    else if (this.#step === 'block' && this.#hasChecksum) this.#goOn('checksum', 4)
    else this.#step = 'magic'
  }
}

function invalidZstd(what: string): PodlibError {
  return new PodlibError('ERR_COMPRESSION_INVALID', `zstd data is damaged: ${what}`)
}
