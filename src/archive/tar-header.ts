import { PodlibError } from '../errors/errors.ts'
import { TAR_BLOCK } from './tar-entry.ts'

/**
 * One 512-byte header block, decoded: V7, POSIX ustar, star and GNU. Field layout as in `tar(5)` and
 * POSIX.1-2017 `pax`, oddities as the Go reader that every image has passed through accepts them.
 */
export interface TarHeader {
  readonly typeflag: string
  readonly name: Buffer
  readonly linkName: Buffer
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Seconds; may be negative (base-256). */
  readonly mtime: number
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly isGnu: boolean
}

const CHECKSUM = { start: 148, end: 156 }
const MAX_SECONDS = BigInt(Number.MAX_SAFE_INTEGER)

export function invalidTar(message: string, offset: number, details: Record<string, unknown> = {}): PodlibError {
  return new PodlibError('ERR_LAYER_INVALID', `${message} at byte ${offset} of the tar`, { details: { offset, ...details } })
}

/** Decodes a header block that is not all zeros. @throws ERR_LAYER_INVALID */
export function parseTarHeader(block: Buffer, offset: number): TarHeader {
  verifyChecksum(block, offset)
  const number = (start: number, length: number, what: string) => sizeField(block.subarray(start, start + length), { offset, what })
  const magic = block.toString('latin1', 257, 265)
  const isGnu = magic === 'ustar  \0'
  return {
    typeflag: String.fromCharCode(block[156] ?? 0),
    // Copies: the block is a view of a chunk that is soon given back.
    name: joinPrefix(headerPrefix(block, magic), cutAtNul(block.subarray(0, 100))),
    linkName: Buffer.from(cutAtNul(block.subarray(157, 257))),
    mode: number(100, 8, 'mode') & 0o7777,
    uid: number(108, 8, 'uid'),
    gid: number(116, 8, 'gid'),
    size: number(124, 12, 'size'),
    mtime: secondsField(block.subarray(136, 148), offset),
    deviceMajor: magic.startsWith('ustar') ? number(329, 8, 'device major') : 0,
    deviceMinor: magic.startsWith('ustar') ? number(337, 8, 'device minor') : 0,
    isGnu,
  }
}

/** The bytes before the first NUL. */
export function cutAtNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0)
  return end < 0 ? bytes : bytes.subarray(0, end)
}

/** A numeric field that counts something: octal or base-256, never negative, never beyond exact integers. */
export function sizeField(field: Buffer, where: { offset: number; what: string }): number {
  const value = numericField(field)
  if (value === undefined || value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidTar(`${where.what} field of a tar header is not a usable number`, where.offset, { field: where.what })
  }
  return Number(value)
}

// Old writers put the sum of signed bytes; both are accepted everywhere.
function verifyChecksum(block: Buffer, offset: number): void {
  let unsigned = 0
  let signed = 0
  for (let index = 0; index < TAR_BLOCK; index++) {
    const byte = index >= CHECKSUM.start && index < CHECKSUM.end ? 32 : (block[index] ?? 0)
    unsigned += byte
    signed += byte > 127 ? byte - 256 : byte
  }
  const stored = numericField(block.subarray(CHECKSUM.start, CHECKSUM.end))
  if (stored !== BigInt(unsigned) && stored !== BigInt(signed)) throw invalidTar('not a tar header: the checksum is wrong', offset)
}

function headerPrefix(block: Buffer, magic: string): Buffer {
  if (magic.startsWith('ustar\0')) {
    // star keeps its access and change times in the tail of the prefix field.
    const isStar = block.toString('latin1', 508, 512) === 'tar\0'
    return cutAtNul(block.subarray(345, isStar ? 476 : 500))
  }
  if (magic !== 'ustar  \0') return Buffer.alloc(0)
  // GNU has times here. Go before 1.8 wrote a ustar prefix under GNU magic: if the times are no numbers
  // and the bytes look like a path, that is what they are.
  const times = [numericField(block.subarray(345, 357)), numericField(block.subarray(357, 369))]
  const prefix = cutAtNul(block.subarray(345, 500))
  return times.includes(undefined) && prefix.every((byte) => byte < 128) ? prefix : Buffer.alloc(0)
}

function joinPrefix(prefix: Buffer, name: Buffer): Buffer {
  return prefix.length === 0 ? Buffer.from(name) : Buffer.concat([prefix, Buffer.from('/'), name])
}

function secondsField(field: Buffer, offset: number): number {
  const value = numericField(field)
  if (value === undefined) throw invalidTar('mtime field of a tar header is not a number', offset, { field: 'mtime' })
  // Clamped, never refused: the file system narrows it further.
  if (value > MAX_SECONDS) return Number.MAX_SAFE_INTEGER
  return value < -MAX_SECONDS ? -Number.MAX_SAFE_INTEGER : Number(value)
}

/** Octal text with blanks or NULs around it (empty is 0), or big-endian two's complement after a set top bit. */
function numericField(field: Buffer): bigint | undefined {
  if (((field[0] ?? 0) & 0x80) !== 0) return BigInt.asIntN(field.length * 8 - 1, BigInt(`0x${field.toString('hex')}`))
  let index = 0
  while (index < field.length && isBlank(field[index])) index++
  let value = 0
  for (; index < field.length; index++) {
    const digit = (field[index] ?? 0) - 48
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  while (field[index] === 32) index++
  // What follows a NUL is left-over memory of the writer.
  return index >= field.length || field[index] === 0 ? BigInt(value) : undefined
}

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 0
}
