import { checkedSegments, oldGnuExtension, oldGnuSparse, paxSparse, TextMap } from './sparse.ts'
import { buildEntry, typeOf } from './tar-build-entry.ts'
import { type SparseSegment, TAR_BLOCK, type TarEntry, tarPadding } from './tar-entry.ts'
import { ExtensionHeaders, MAX_EXTENSION_BYTES } from './tar-extensions.ts'
import { invalidTar, isExtensionType, parseTarHeader, type TarHeader } from './tar-header.ts'

/**
 * Receives a tar in order. `framing` and `data` together are every byte of the tar, once, in order:
 * enough to write the same tar again. Buffers are views of the chunk that was pushed.
 */
export interface TarSink {
  /** Bytes that are no file's content: headers, PAX blocks, sparse maps, padding, end blocks. Before the entry that they lead to. */
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
  #chunk: Buffer = EMPTY
  /** Where in the tar the chunk begins. */
  #chunkOffset = 0
  /** How much of the chunk has been parsed, and up to where the sink knows of it. */
  #at = 0
  #framed = 0
  readonly #block = Buffer.allocUnsafeSlow(TAR_BLOCK)
  #blockFilled = 0
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
    return this.#chunkOffset + this.#at
  }

  /** @throws ERR_LAYER_INVALID with the offset; the reader is unusable afterwards */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#chunkOffset += this.#at
    this.#at = this.#framed = 0
    while (this.#at < chunk.length) this.#step()
    this.#sendFraming()
    // The chunk is not ours to keep.
    this.#chunk = EMPTY
  }

  /** The tar has ended. Legal after end blocks and, without them, after whole content. */
  end(): void {
    const atBorder = (this.#state === 'header' && this.#blockFilled === 0 && this.#entryOffset === undefined) || this.#state === 'trailer'
    // umoci leaves out the padding of the last member.
    const inPadding = this.#state === 'skip' && this.#entryOffset === undefined && this.#remaining < TAR_BLOCK
    if (!atBorder && !inPadding) throw invalidTar('the tar is cut off', this.offset)
  }

  #step(): void {
    if (this.#state === 'data') this.#data()
    else if (this.#state === 'skip') this.#skip()
    else if (this.#state === 'extension') this.#collectExtension()
    else if (this.#state === 'trailer') this.#trailer()
    else this.#gatherBlock()
  }

  /** Hands out what has been parsed since the last content: one piece, however many headers it is. */
  #sendFraming(): void {
    if (this.#framed < this.#at) this.#sink.framing(this.#chunk.subarray(this.#framed, this.#at))
    this.#framed = this.#at
  }

  /** Copies one 512-byte block, which may be in several chunks: cheaper than to make a view of each. */
  #gatherBlock(): void {
    const used = this.#chunk.copy(this.#block, this.#blockFilled, this.#at)
    this.#at += used
    this.#blockFilled += used
    if (this.#blockFilled < TAR_BLOCK) return
    this.#blockFilled = 0
    const offset = this.offset - TAR_BLOCK
    if (this.#state === 'header') this.#headerBlock(this.#block, offset)
    else if (this.#state === 'gnu-map') this.#gnuMapBlock(oldGnuExtension(this.#block, offset), offset)
    else this.#textMapBlock(this.#block)
  }

  #headerBlock(block: Buffer, offset: number): void {
    if (block[0] === 0 && block.equals(ZERO_BLOCK)) {
      if (this.#entryOffset !== undefined) throw invalidTar('a header without an entry', offset)
      if (++this.#zeroBlocks === 2) this.#state = 'trailer'
      return
    }
    if (this.#zeroBlocks > 0) throw invalidTar('data after an end block', offset)
    const header = parseTarHeader(block, offset)
    const { typeflag, size } = header
    if (typeflag === 'g' || typeflag === 'V') {
      if (size > MAX_EXTENSION_BYTES) throw invalidTar('extension header is too large', offset, { size })
      this.#skipNext(size + tarPadding(size))
      return
    }
    this.#entryOffset ??= offset
    if (isExtensionType(typeflag)) this.#startExtension(typeflag, size, offset)
    else this.#firstMemberBlock(header, block, offset)
  }

  #firstMemberBlock(header: TarHeader, block: Buffer, offset: number): void {
    this.#header = header
    if (header.typeflag === 'S' && header.isGnu) {
      const { extended, ...map } = oldGnuSparse(block, offset)
      this.#gnuMap = map
      this.#gnuMapBlock({ segments: [], extended }, offset)
    } else this.#memberHeader(header)
  }

  #startExtension(typeflag: string, size: number, offset: number): void {
    this.#extensions.start(typeflag, size, offset)
    this.#remaining = size
    this.#state = 'extension'
    if (size === 0) this.#collectExtension()
  }

  #collectExtension(): void {
    const start = this.offset
    this.#at += this.#extensions.collect(this.#chunk, this.#at)
    if (this.#extensions.finish(start)) this.#skipNext(tarPadding(this.#remaining))
  }

  #gnuMapBlock({ segments, extended }: { segments: SparseSegment[]; extended: boolean }, offset: number): void {
    const map = this.#gnuMap as GnuMap
    for (const segment of segments) map.segments.push(segment)
    if (map.segments.length * 24 > MAX_EXTENSION_BYTES) throw invalidTar('sparse map is too long', offset)
    if (extended) this.#state = 'gnu-map'
    else this.#memberHeader(this.#header as TarHeader)
  }

  /** All header blocks of a member are there, but for a PAX 1.0 sparse map. */
  #memberHeader(header: TarHeader): void {
    const offset = this.#entryOffset as number
    const extensions = this.#extensions.take()
    const { pax } = extensions
    const sparse = pax && typeOf(header, offset) === 'file' ? paxSparse(pax, offset) : undefined
    const entry = buildEntry({ header, extensions, offset, sparseName: sparse?.name })
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
    this.#sendFraming()
    this.#sink.entry(entry)
    if (this.#remaining === 0) this.#finishEntry()
  }

  #data(): void {
    const entry = this.#entry as TarEntry
    const segment = entry.sparse?.[this.#segment]
    const wanted = segment ? Math.min(segment.length - this.#segmentDone, this.#remaining) : this.#remaining
    const piece = this.#chunk.subarray(this.#at, this.#at + wanted)
    this.#at += piece.length
    // Content is no framing.
    this.#framed = this.#at
    this.#sink.data(piece, segment ? segment.offset + this.#segmentDone : this.#position)
    this.#position += piece.length
    this.#remaining -= piece.length
    this.#segmentDone += piece.length
    if (segment && this.#segmentDone === segment.length) {
      this.#segment++
      this.#segmentDone = 0
    }
    if (this.#remaining === 0) this.#finishEntry()
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

  #skip(): void {
    const used = Math.min(this.#chunk.length - this.#at, this.#remaining)
    this.#at += used
    this.#skipNext(this.#remaining - used)
  }

  /** Zeros may follow the end blocks; anything else could hide content from some readers. */
  #trailer(): void {
    const piece = this.#chunk.subarray(this.#at, this.#at + ZEROS.length)
    if (!piece.equals(ZEROS.subarray(0, piece.length))) throw invalidTar('data after the end of the tar', this.offset)
    this.#at += piece.length
  }
}
