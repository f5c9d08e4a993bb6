import { checkedSegments, oldGnuExtension, oldGnuSparse, paxSparse, TextMap } from './sparse.ts'
import { buildEntry, typeOf } from './tar-build-entry.ts'
import { type SparseSegment, TAR_BLOCK, type TarEntry, tarPadding } from './tar-entry.ts'
import { ExtensionHeaders, MAX_EXTENSION_BYTES } from './tar-extensions.ts'
import { invalidTar, parseTarHeader, type TarHeader } from './tar-header.ts'

/**
 * Receives a tar in order. `framing` and `data` together are every byte of the tar, once, in order:
 * enough to write the same tar again. Buffers are views of the chunk that was pushed.
 */
export interface TarSink {
  /** Bytes that are no file's content: headers, PAX blocks, sparse maps, padding, end blocks. */
  framing(bytes: Buffer): void
  entry(entry: TarEntry): void
  /** Content of the current entry; `position` is where in the file it belongs. */
  data(bytes: Buffer, position: number): void
  /** The current entry's content is complete. Called for every entry. */
  entryEnd(): void
}

interface GnuMap {
  readonly size: number
  readonly segments: SparseSegment[]
}

type State = 'header' | 'gnu-map' | 'text-map' | 'extension' | 'skip' | 'data' | 'trailer'

const ZEROS = Buffer.alloc(4096)
const ZERO_BLOCK = ZEROS.subarray(0, TAR_BLOCK)
const EMPTY = Buffer.alloc(0)

/**
 * A push parser for tar: V7, ustar, star, GNU and PAX with all sparse forms. Synchronous and zero-copy:
 * a layer job calls {@link push} with each chunk and is called back for what the chunk holds.
 *
 * Global PAX headers (`g`) are framing, as for every other reader of layers.
 */
export class TarReader {
  readonly #sink: TarSink
  readonly #extensions = new ExtensionHeaders()
  #state: State = 'header'
  #offset = 0
  #carry: Buffer | undefined
  #carried = 0
  #remaining = 0
  #zeroBlocks = 0
  #entryOffset: number | undefined
  #header: TarHeader | undefined
  #gnuMap: GnuMap | undefined
  #textMap: TextMap | undefined
  #entry: TarEntry | undefined
  #segment = 0
  #segmentDone = 0
  #position = 0

  constructor(sink: TarSink) {
    this.#sink = sink
  }

  /** How many bytes have been parsed. */
  get offset(): number {
    return this.#offset
  }

  /** @throws ERR_LAYER_INVALID with the offset; the reader is unusable afterwards */
  push(chunk: Buffer): void {
    let position = 0
    while (position < chunk.length) {
      const used = this.#step(position === 0 ? chunk : chunk.subarray(position))
      position += used
      this.#offset += used
    }
  }

  /** The tar has ended. Legal after end blocks and, without them, after whole content. */
  end(): void {
    const atBorder = (this.#state === 'header' && this.#carried === 0 && this.#entryOffset === undefined) || this.#state === 'trailer'
    // umoci leaves out the padding of the last member.
    const inPadding = this.#state === 'skip' && this.#entryOffset === undefined && this.#remaining < TAR_BLOCK
    if (!atBorder && !inPadding) throw invalidTar('the tar is cut off', this.#offset)
  }

  #step(bytes: Buffer): number {
    switch (this.#state) {
      case 'data':
        return this.#data(bytes)
      case 'skip':
        return this.#skip(bytes)
      case 'extension':
        return this.#collectExtension(bytes)
      case 'trailer':
        return this.#trailer(bytes)
      default:
        return this.#block(bytes)
    }
  }

  /** Gathers one 512-byte block, without a copy when it lies in one chunk. */
  #block(bytes: Buffer): number {
    if (this.#carried === 0 && bytes.length >= TAR_BLOCK) {
      this.#handleBlock(bytes.subarray(0, TAR_BLOCK), this.#offset)
      return TAR_BLOCK
    }
    this.#carry ??= Buffer.allocUnsafeSlow(TAR_BLOCK)
    const used = bytes.copy(this.#carry, this.#carried)
    this.#carried += used
    if (this.#carried === TAR_BLOCK) {
      const block = Buffer.from(this.#carry)
      this.#carried = 0
      this.#handleBlock(block, this.#offset + used - TAR_BLOCK)
    }
    return used
  }

  #handleBlock(block: Buffer, offset: number): void {
    if (this.#state === 'header') {
      if (this.#zeroBlocks > 0 && !block.equals(ZERO_BLOCK)) throw invalidTar('data after an end block', offset)
      if (block.equals(ZERO_BLOCK) && this.#entryOffset !== undefined) throw invalidTar('a header without an entry', offset)
    }
    this.#sink.framing(block)
    if (this.#state === 'header') this.#headerBlock(block, offset)
    else if (this.#state === 'gnu-map') this.#gnuMapBlock(oldGnuExtension(block, offset))
    else this.#textMapBlock(block)
  }

  #headerBlock(block: Buffer, offset: number): void {
    if (block.equals(ZERO_BLOCK)) {
      if (++this.#zeroBlocks === 2) this.#state = 'trailer'
      return
    }
    const header = parseTarHeader(block, offset)
    const { typeflag, size } = header
    if (typeflag === 'g' || typeflag === 'V') {
      if (size > MAX_EXTENSION_BYTES) throw invalidTar('extension header is too large', offset, { size })
      this.#skipNext(size + tarPadding(size))
      return
    }
    this.#entryOffset ??= offset
    if ('xLK'.includes(typeflag)) this.#startExtension(typeflag, size, offset)
    else this.#firstMemberBlock(header, block, offset)
  }

  #firstMemberBlock(header: TarHeader, block: Buffer, offset: number): void {
    this.#header = header
    if (header.typeflag === 'S' && header.isGnu) {
      const { extended, ...map } = oldGnuSparse(block, offset)
      this.#gnuMap = map
      this.#gnuMapBlock({ segments: [], extended })
    } else this.#memberHeader(header)
  }

  #startExtension(typeflag: string, size: number, offset: number): void {
    this.#extensions.start(typeflag, size, offset)
    this.#remaining = size
    this.#state = 'extension'
    if (size === 0) this.#collectExtension(EMPTY)
  }

  #collectExtension(bytes: Buffer): number {
    const used = this.#extensions.collect(bytes)
    this.#sink.framing(bytes.subarray(0, used))
    if (this.#extensions.finish(this.#offset)) this.#skipNext(tarPadding(this.#remaining))
    return used
  }

  #gnuMapBlock({ segments, extended }: { segments: SparseSegment[]; extended: boolean }): void {
    const map = this.#gnuMap as GnuMap
    for (const segment of segments) map.segments.push(segment)
    if (map.segments.length * 24 > MAX_EXTENSION_BYTES) throw invalidTar('sparse map is too long', this.#offset)
    if (extended) this.#state = 'gnu-map'
    else this.#memberHeader(this.#header as TarHeader)
  }

  /** All header blocks of a member are there, but for a PAX 1.0 sparse map. */
  #memberHeader(header: TarHeader): void {
    const offset = this.#entryOffset as number
    const extensions = this.#extensions.take()
    const { pax } = extensions
    const sparse = pax && typeOf(header, offset) === 'file' ? paxSparse(pax, offset) : undefined
    const entry = buildEntry({ header, offset, ...extensions, sparseName: sparse?.name })
    this.#header = this.#entryOffset = undefined
    const map = this.#gnuMap ?? sparse
    this.#gnuMap = undefined
    if (map === undefined) this.#startEntry(entry)
    else if (map.segments !== undefined) this.#startSparse({ ...entry, size: map.size }, map.segments)
    else {
      this.#entry = { ...entry, size: map.size }
      this.#textMap = new TextMap(offset)
      this.#remaining = entry.storedSize
      this.#state = 'text-map'
    }
  }

  #textMapBlock(block: Buffer): void {
    const entry = this.#entry as TarEntry
    this.#remaining -= TAR_BLOCK
    if (this.#remaining < 0) throw invalidTar('sparse map is longer than its entry', entry.offset)
    const segments = this.#textMap?.push(block)
    if (segments === undefined) return
    this.#textMap = undefined
    this.#startSparse({ ...entry, storedSize: this.#remaining }, segments)
  }

  #startSparse(entry: TarEntry, segments: readonly SparseSegment[]): void {
    const { size, storedSize: stored, offset } = entry
    this.#startEntry({ ...entry, sparse: checkedSegments(segments, { size, stored, offset }) })
  }

  #startEntry(entry: TarEntry): void {
    this.#entry = entry
    this.#remaining = entry.storedSize
    this.#segment = this.#segmentDone = this.#position = 0
    this.#state = 'data'
    this.#sink.entry(entry)
    if (this.#remaining === 0) this.#finishEntry()
  }

  #data(bytes: Buffer): number {
    const entry = this.#entry as TarEntry
    const segment = entry.sparse?.[this.#segment]
    const wanted = segment ? Math.min(segment.length - this.#segmentDone, this.#remaining) : this.#remaining
    const piece = bytes.length <= wanted ? bytes : bytes.subarray(0, wanted)
    this.#sink.data(piece, segment ? segment.offset + this.#segmentDone : this.#position)
    this.#position += piece.length
    this.#remaining -= piece.length
    this.#segmentDone += piece.length
    if (segment && this.#segmentDone === segment.length) {
      this.#segment++
      this.#segmentDone = 0
    }
    if (this.#remaining === 0) this.#finishEntry()
    return piece.length
  }

  #finishEntry(): void {
    const padding = tarPadding((this.#entry as TarEntry).storedSize)
    this.#entry = undefined
    this.#sink.entryEnd()
    this.#skipNext(padding)
  }

  #skipNext(length: number): void {
    this.#remaining = length
    this.#state = length === 0 ? 'header' : 'skip'
  }

  #skip(bytes: Buffer): number {
    const piece = bytes.length <= this.#remaining ? bytes : bytes.subarray(0, this.#remaining)
    this.#sink.framing(piece)
    this.#skipNext(this.#remaining - piece.length)
    return piece.length
  }

  /** Zeros may follow the end blocks; anything else could hide content from some readers. */
  #trailer(bytes: Buffer): number {
    const piece = bytes.subarray(0, ZEROS.length)
    if (!piece.equals(ZEROS.subarray(0, piece.length))) throw invalidTar('data after the end of the tar', this.#offset)
    this.#sink.framing(piece)
    return piece.length
  }
}
