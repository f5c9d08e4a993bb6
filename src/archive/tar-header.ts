import { PodlibError } from '../errors/errors.ts'
import { TAR_BLOCK } from './tar-entry.ts'

/**
 * One 512-byte header block, decoded: V7, POSIX ustar, star and GNU. Field layout as in `tar(5)` and
 * POSIX.1-2017 `pax`, oddities as the Go reader that every image has passed through accepts them.
 */
export interface TarHeader {
  readonly typeflag: string
  /** Empty, as is `linkName`, for a header that only says something about another member. */
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

/** Where in a block a number is, and what an error calls it. */
export interface NumberField {
  readonly start: number
  readonly end: number
  readonly what: string
}

const MODE = { start: 100, end: 108, what: 'mode' }
const UID = { start: 108, end: 116, what: 'uid' }
const GID = { start: 116, end: 124, what: 'gid' }
const SIZE = { start: 124, end: 136, what: 'size' }
const MTIME = { start: 136, end: 148, what: 'mtime' }
const CHECKSUM = { start: 148, end: 156, what: 'checksum' }
const DEVICE_MAJOR = { start: 329, end: 337, what: 'device major' }
const DEVICE_MINOR = { start: 337, end: 345, what: 'device minor' }
/** Where GNU has times and ustar has the prefix. */
const GNU_TIMES = [
  { start: 345, end: 357, what: 'atime' },
  { start: 357, end: 369, what: 'ctime' },
]
const EMPTY = Buffer.alloc(0)
const SLASH = Buffer.from('/')
const BLANK = 32

export function invalidTar(message: string, offset: number, details: Record<string, unknown> = {}): PodlibError {
  return new PodlibError('ERR_LAYER_INVALID', `${message} at byte ${offset} of the tar`, { details: { offset, ...details } })
}

/** Decodes a header block that is not all zeros. Keeps nothing of the block. @throws ERR_LAYER_INVALID */
export function parseTarHeader(block: Buffer, offset: number): TarHeader {
  verifyChecksum(block, offset)
  const typeflag = String.fromCharCode(block[156] ?? 0)
  const isMember = !isExtensionType(typeflag)
  const hasDevice = hasText(block, 257, 'ustar')
  return {
    typeflag,
    name: isMember ? memberName(block) : EMPTY,
    linkName: isMember ? textField(block, 157, 257) : EMPTY,
    mode: sizeField(block, MODE, offset) & 0o7777,
    uid: sizeField(block, UID, offset),
    gid: sizeField(block, GID, offset),
    size: sizeField(block, SIZE, offset),
    mtime: secondsField(block, offset),
    deviceMajor: hasDevice ? sizeField(block, DEVICE_MAJOR, offset) : 0,
    deviceMinor: hasDevice ? sizeField(block, DEVICE_MINOR, offset) : 0,
    isGnu: isGnu(block),
  }
}

/** PAX headers, GNU long names and links, and volume labels. */
export function isExtensionType(typeflag: string): boolean {
  return 'xgLKV'.includes(typeflag)
}

/** The bytes before the first NUL. */
export function cutAtNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0)
  return end < 0 ? bytes : bytes.subarray(0, end)
}

/** A numeric field that counts something: octal or base-256, never negative, never beyond exact integers. */
export function sizeField(block: Buffer, field: NumberField, offset: number): number {
  const value = numericField(block, field)
  if (value === undefined || value < 0 || value > Number.MAX_SAFE_INTEGER) {
    throw invalidTar(`${field.what} field of a tar header is not a usable number`, offset, { field: field.what })
  }
  return value
}

function verifyChecksum(block: Buffer, offset: number): void {
  let sum = 0
  // `| 0` says that the sum stays a small integer, which halves the time.
  for (let index = 0; index < TAR_BLOCK; index++) sum = (sum + (block[index] as number)) | 0
  // The field itself counts as blanks.
  for (let index = CHECKSUM.start; index < CHECKSUM.end; index++) sum += BLANK - (block[index] as number)
  const stored = numericField(block, CHECKSUM)
  // Old writers put the sum of signed bytes; both are accepted everywhere.
  if (stored !== sum && stored !== sum - 256 * negativeBytes(block)) throw invalidTar('not a tar header: the checksum is wrong', offset)
}

function negativeBytes(block: Buffer): number {
  return block.filter((byte, index) => byte > 127 && (index < CHECKSUM.start || index >= CHECKSUM.end)).length
}

function isGnu(block: Buffer): boolean {
  return hasText(block, 257, 'ustar  \0')
}

function memberName(block: Buffer): Buffer {
  const prefix = headerPrefix(block)
  const name = textField(block, 0, 100)
  return prefix.length === 0 ? name : Buffer.concat([prefix, SLASH, name])
}

function headerPrefix(block: Buffer): Buffer {
  if (hasText(block, 257, 'ustar\0')) {
    // star keeps its access and change times in the tail of the prefix field.
    return textField(block, 345, hasText(block, 508, 'tar\0') ? 476 : 500)
  }
  if (!isGnu(block)) return EMPTY
  // GNU has times here. Go before 1.8 wrote a ustar prefix under GNU magic: if the times are no numbers
  // and the bytes look like a path, that is what they are.
  if (GNU_TIMES.every((field) => numericField(block, field) !== undefined)) return EMPTY
  const prefix = textField(block, 345, 500)
  return prefix.every((byte) => byte < 128) ? prefix : EMPTY
}

/** A copy of the bytes before the first NUL. */
function textField(block: Buffer, start: number, end: number): Buffer {
  let stop = start
  while (stop < end && block[stop] !== 0) stop++
  if (stop === start) return EMPTY
  const text = Buffer.allocUnsafe(stop - start)
  block.copy(text, 0, start, stop)
  return text
}

function hasText(block: Buffer, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) if (block[start + index] !== text.charCodeAt(index)) return false
  return true
}

function secondsField(block: Buffer, offset: number): number {
  const value = numericField(block, MTIME)
  if (value === undefined) throw invalidTar('mtime field of a tar header is not a number', offset, { field: 'mtime' })
  // Clamped, never refused: the file system narrows it further.
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(value, Number.MAX_SAFE_INTEGER))
}

/**
 * Octal text with blanks or NULs around it (empty is 0), or big-endian two's complement after a set top bit.
 * What is beyond exact integers comes out inexact, but still beyond them.
 */
function numericField(block: Buffer, { start, end }: NumberField): number | undefined {
  if (((block[start] ?? 0) & 0x80) !== 0) {
    return Number(BigInt.asIntN((end - start) * 8 - 1, BigInt(`0x${block.toString('hex', start, end)}`)))
  }
  let index = start
  while (index < end && (block[index] === BLANK || block[index] === 0)) index++
  let value = 0
  for (; index < end; index++) {
    const digit = (block[index] as number) - 48
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  while (index < end && block[index] === BLANK) index++
  // What follows a NUL is left-over memory of the writer.
  return index >= end || block[index] === 0 ? value : undefined
}
