import { decimal, type PaxAttributes, paxNumber } from './pax.ts'
import type { SparseSegment } from './tar-entry.ts'
import { invalidTar, sizeField } from './tar-header.ts'

/**
 * The four GNU ways to say where the data of a sparse file is: old GNU header blocks (type `S`) and PAX
 * 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").
 */
export interface SparseHeader {
  /** Size of the file, holes included. */
  readonly size: number
  /** Undefined for PAX 1.0: the map is the first thing in the payload. */
  readonly segments: readonly SparseSegment[] | undefined
  /** The real name: PAX 0.1 and 1.0 put a made-up one into `path`. */
  readonly name: Buffer | undefined
}

const OLD_GNU = { map: 386, mapEntries: 4, isExtended: 482, realSize: { start: 483, end: 495, what: 'real size' } }
const EXTENSION = { mapEntries: 21, isExtended: 504 }
const NEWLINE = 10
/** 1 MiB, as for every other header. */
const MAX_TEXT_MAP_BLOCKS = 2048

/** The map of an old GNU header block; `extended` says that a block with more of it follows. */
export function oldGnuSparse(block: Buffer, offset: number): { size: number; segments: SparseSegment[]; extended: boolean } {
  const size = sizeField(block, OLD_GNU.realSize, offset)
  const segments = mapFields(block.subarray(OLD_GNU.map), OLD_GNU.mapEntries, offset)
  return { size, segments, extended: block[OLD_GNU.isExtended] !== 0 }
}

/** One extension block of an old GNU map. */
export function oldGnuExtension(block: Buffer, offset: number): { segments: SparseSegment[]; extended: boolean } {
  return { segments: mapFields(block, EXTENSION.mapEntries, offset), extended: block[EXTENSION.isExtended] !== 0 }
}

/** What the PAX records say about sparseness; undefined for an ordinary file. */
export function paxSparse({ values, records }: PaxAttributes, offset: number): SparseHeader | undefined {
  const name = values.get('GNU.sparse.name')
  const major = values.get('GNU.sparse.major')?.toString('latin1')
  if (major !== undefined) {
    const minor = values.get('GNU.sparse.minor')?.toString('latin1')
    const size = paxNumber(values, 'GNU.sparse.realsize', offset)
    if (major !== '1' || minor !== '0' || size === undefined) throw invalidTar('unknown sparse format', offset, { major, minor })
    return { size, segments: undefined, name }
  }
  const size = paxNumber(values, 'GNU.sparse.size', offset)
  if (size === undefined) return undefined
  const map = values.get('GNU.sparse.map')
  const numbers =
    map !== undefined ? map.toString('latin1').split(',') : records.filter(isMapRecord).map(({ value }) => value.toString('latin1'))
  const count = paxNumber(values, 'GNU.sparse.numblocks', offset)
  const segments = pairs(numbers[0] === '' ? [] : numbers.map((text) => decimal(Buffer.from(text, 'latin1'))), offset)
  if (count !== undefined && count !== segments.length) throw invalidTar('sparse map has the wrong length', offset)
  return { size, segments, name }
}

/** Collects the text map at the start of a PAX 1.0 payload block by block: a count, then pairs, one number a line. */
export class TextMap {
  readonly #blocks: Buffer[] = []
  readonly #offset: number
  #lines = 0
  #wanted: number | undefined

  constructor(offset: number) {
    this.#offset = offset
  }

  /** The map once its last block has come. */
  push(block: Buffer): SparseSegment[] | undefined {
    this.#blocks.push(Buffer.from(block))
    if (this.#blocks.length > MAX_TEXT_MAP_BLOCKS) throw invalidTar('sparse map is too long', this.#offset)
    this.#wanted ??= 1 + 2 * this.#count(block)
    for (let at = block.indexOf(NEWLINE); at >= 0; at = block.indexOf(NEWLINE, at + 1)) this.#lines++
    if (this.#lines < this.#wanted) return undefined
    const lines = Buffer.concat(this.#blocks).toString('latin1').split('\n', this.#wanted)
    return pairs(
      lines.slice(1).map((line) => decimal(Buffer.from(line, 'latin1'))),
      this.#offset,
    )
  }

  #count(block: Buffer): number {
    const count = decimal(block.subarray(0, Math.max(0, block.indexOf(NEWLINE))))
    if (!Number.isSafeInteger(count)) throw invalidTar('malformed sparse map', this.#offset)
    return count
  }
}

/** Checks a map against the file and the payload, and drops the empty segments that mark the end of a file. */
export function checkedSegments(
  segments: readonly SparseSegment[],
  sizes: { size: number; stored: number; offset: number },
): SparseSegment[] {
  let end = 0
  let stored = 0
  for (const segment of segments) {
    if (segment.offset < end || segment.offset + segment.length > sizes.size)
      throw invalidTar('sparse map is out of order or too long', sizes.offset)
    end = segment.offset + segment.length
    stored += segment.length
  }
  if (stored !== sizes.stored) throw invalidTar('sparse map does not match the payload', sizes.offset)
  return segments.filter(({ length }) => length > 0)
}

function isMapRecord({ key }: { key: string }): boolean {
  return key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes'
}

function pairs(numbers: readonly number[], offset: number): SparseSegment[] {
  if (numbers.length % 2 !== 0 || !numbers.every(Number.isSafeInteger)) throw invalidTar('malformed sparse map', offset)
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({
    offset: numbers[index * 2] ?? 0,
    length: numbers[index * 2 + 1] ?? 0,
  }))
}

function mapFields(bytes: Buffer, entries: number, offset: number): SparseSegment[] {
  const segments: SparseSegment[] = []
  for (let index = 0; index < entries; index++) {
    const at = index * 24
    // An entry that begins with NUL ends the map.
    if (bytes[at] === 0) break
    const field = (start: number) => sizeField(bytes, { start, end: start + 12, what: 'sparse map' }, offset)
    segments.push({ offset: field(at), length: field(at + 12) })
  }
  return segments
}
