import type { TarTime } from './tar-entry.ts'
import { invalidTar } from './tar-header.ts'

/**
 * PAX extended header records (POSIX.1-2017 `pax`, "pax Extended Header"): `<length> <key>=<value>\n`.
 * Values stay bytes: security.capability, ACLs and names that are not UTF-8 must survive.
 */
export interface PaxRecord {
  /** Decoded as Latin-1, so that any byte string makes a distinct key. */
  readonly key: string
  readonly value: Buffer
}

/** What the records of one `x` header change in the entry that follows. */
export interface PaxAttributes {
  readonly values: ReadonlyMap<string, Buffer>
  readonly xattrs: ReadonlyMap<string, Buffer>
  /** All records in order: GNU sparse 0.0 repeats keys. */
  readonly records: readonly PaxRecord[]
}

const NEWLINE = 10
const MINUS = 45
const POINT = 46
const ZERO = 48
const LONGEST_LENGTH = 10
const LONGEST_SECONDS = 40
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map()
const SCHILY_XATTR = 'SCHILY.xattr.'
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.'
// A NUL in one of these would name one thing to us and another to C programs.
const TEXT_KEYS: ReadonlySet<string> = new Set(['path', 'linkpath', 'uname', 'gname', 'GNU.sparse.name'])

/** @throws ERR_LAYER_INVALID for anything that is not a whole sequence of records */
export function parsePaxRecords(bytes: Buffer, offset: number): PaxRecord[] {
  const records: PaxRecord[] = []
  const text = bytes.toString('latin1')
  for (let position = 0; position < bytes.length; ) {
    const space = text.indexOf(' ', position)
    const length = space - position > LONGEST_LENGTH ? Number.NaN : decimal(bytes, position, space)
    const end = position + length
    const equals = text.indexOf('=', space + 1)
    const whole = end <= bytes.length && bytes[end - 1] === NEWLINE && equals > space + 1 && equals < end - 1
    if (!whole) throw invalidTar('malformed PAX record', offset)
    const key = text.slice(space + 1, equals)
    const value = bytes.subarray(equals + 1, end - 1)
    if (key.includes('\0') || (TEXT_KEYS.has(key) && value.includes(0))) throw invalidTar('NUL byte in a PAX record', offset)
    records.push({ key, value })
    position = end
  }
  return records
}

/** Sorts records into plain keywords and extended attributes. */
export function paxAttributes(records: readonly PaxRecord[], offset: number): PaxAttributes {
  const values = new Map<string, Buffer>()
  const xattrs: PaxRecord[] = []
  for (const record of records) {
    if (record.key.startsWith(SCHILY_XATTR) || record.key.startsWith(LIBARCHIVE_XATTR)) xattrs.push(record)
    else values.set(record.key, record.value)
  }
  return { values, xattrs: xattrs.length === 0 ? NO_XATTRS : decodedXattrs(xattrs, offset), records }
}

function decodedXattrs(records: readonly PaxRecord[], offset: number): ReadonlyMap<string, Buffer> {
  const xattrs = new Map<string, Buffer>()
  const fromLibarchive = new Map<string, Buffer>()
  for (const { key, value } of records) {
    if (key.startsWith(SCHILY_XATTR)) xattrs.set(xattrName(key.slice(SCHILY_XATTR.length), offset), value)
    else {
      const name = percentDecoded(key.slice(LIBARCHIVE_XATTR.length))
      fromLibarchive.set(xattrName(name, offset), Buffer.from(value.toString('latin1'), 'base64'))
    }
  }
  // bsdtar writes both forms; the raw one is authoritative.
  for (const [name, value] of fromLibarchive) if (!xattrs.has(name)) xattrs.set(name, value)
  return xattrs
}

/** A keyword that counts something. An empty value deletes the keyword (POSIX), so the header's stays. */
export function paxNumber(values: ReadonlyMap<string, Buffer>, key: string, offset: number): number | undefined {
  const value = values.get(key)
  if (value === undefined || value.length === 0) return undefined
  const number = decimal(value)
  if (!Number.isSafeInteger(number)) throw invalidTar(`PAX ${key} is not a usable number`, offset, { field: key })
  return number
}

/** `mtime` or `atime`: decimal seconds with any number of digits, clamped to exact integers, cut to nanoseconds. */
export function paxTime(values: ReadonlyMap<string, Buffer>, key: string, offset: number): TarTime | undefined {
  const text = values.get(key)
  if (text === undefined || text.length === 0) return undefined
  const isNegative = text[0] === MINUS
  const start = isNegative ? 1 : 0
  const point = text.indexOf(POINT)
  const end = point < 0 ? text.length : point
  const number = end - start > LONGEST_SECONDS ? Number.NaN : decimal(text, start, end)
  const nanoseconds = point < 0 ? 0 : fraction(text, point + 1)
  if (Number.isNaN(number + nanoseconds)) throw invalidTar(`PAX ${key} is not a time`, offset, { field: key })
  const seconds = Math.min(number, Number.MAX_SAFE_INTEGER)
  if (!isNegative) return { seconds, nanoseconds }
  return nanoseconds === 0 ? { seconds: 0 - seconds, nanoseconds } : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}

/** Nanoseconds of the digits after the point, of which there may be none, or NaN. */
function fraction(text: Buffer, start: number): number {
  let nanoseconds = 0
  let unit = 100_000_000
  for (let index = start; index < text.length; index++) {
    const digit = (text[index] as number) - ZERO
    if (digit < 0 || digit > 9) return Number.NaN
    nanoseconds += digit * unit
    unit = Math.floor(unit / 10)
  }
  return nanoseconds
}

/** One record, its length counting itself. */
export function encodePaxRecord(key: string, value: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')])
  let length = body.length + String(body.length).length
  length = body.length + String(length).length
  return Buffer.concat([Buffer.from(String(length)), body])
}

/** The digits of a PAX number, or NaN. */
export function decimal(bytes: Buffer, start = 0, end = bytes.length): number {
  let number = end > start ? 0 : Number.NaN
  for (let index = start; index < end; index++) {
    const digit = (bytes[index] as number) - ZERO
    if (digit < 0 || digit > 9) return Number.NaN
    number = number * 10 + digit
  }
  return number
}

function xattrName(key: string, offset: number): string {
  const bytes = Buffer.from(key, 'latin1')
  const name = bytes.toString('utf8')
  if (name.length === 0 || !Buffer.from(name).equals(bytes)) throw invalidTar('unusable extended attribute name', offset)
  return name
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
