import { PodlibError } from '../errors/errors.ts'
import { encodePaxRecord } from './pax.ts'
import { escapeName, TAR_BLOCK, type TarEntryType, type TarTime, tarPadding } from './tar-entry.ts'

/** What is written about one member. The same input gives the same bytes, always. */
export interface TarMember {
  readonly type: TarEntryType
  /** Relative, without a leading slash; a directory's trailing slash is added. */
  readonly name: string | Buffer
  readonly linkName?: string | Buffer
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of a file's content, which follows. */
  readonly size?: number
  readonly mtime: TarTime
  readonly xattrs?: ReadonlyMap<string, Uint8Array>
  readonly deviceMajor?: number
  readonly deviceMinor?: number
}

/** What follows the last member. */
export const TAR_END_BYTES = 2 * TAR_BLOCK

const TYPEFLAGS: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  'hard-link': '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
}
const NAME_BYTES = 100
const PREFIX_BYTES = 155
const SLASH = 47
const MAX_OCTAL_7 = 0o7777777
const MAX_OCTAL_11 = 0o77777777777

/**
 * The headers of a member: a POSIX ustar block, with a PAX header before it only where ustar cannot say
 * it (long names, large numbers, fractions of seconds, extended attributes). After them the caller writes
 * `size` bytes of content and {@link tarPadding} zeros.
 *
 * @throws ERR_ARCHIVE_INVALID for a name that no tar can hold
 */
export function encodeTarMember(member: TarMember): Buffer {
  const name = memberName(member)
  const linkName = checkedName(member.linkName ?? '')
  const size = member.type === 'file' ? (member.size ?? 0) : 0
  const place = splitName(name)
  const records = paxRecords(member, { name, linkName, size, fits: place !== undefined })
  const header = Buffer.alloc(TAR_BLOCK)
  const fallback = { name: name.subarray(0, NAME_BYTES), prefix: Buffer.alloc(0) }
  writeHeader(header, {
    ...(place ?? fallback),
    linkName: linkName.subarray(0, NAME_BYTES),
    size,
    typeflag: TYPEFLAGS[member.type],
    member,
  })
  return records.length === 0 ? header : Buffer.concat([...paxMember(name, Buffer.concat(records)), header])
}

function memberName({ type, name }: TarMember): Buffer {
  const bytes = checkedName(name)
  if (bytes.length === 0) throw new PodlibError('ERR_ARCHIVE_INVALID', 'cannot write a tar member without a name')
  return type === 'directory' && bytes.at(-1) !== SLASH ? Buffer.concat([bytes, Buffer.from('/')]) : bytes
}

function checkedName(name: string | Buffer): Buffer {
  const bytes = Buffer.from(name)
  if (bytes.includes(0))
    throw new PodlibError('ERR_ARCHIVE_INVALID', `cannot write a tar member named "${escapeName(bytes)}": it has a NUL byte`)
  return bytes
}

/** Puts a name into the name field, or cuts it at a slash into prefix and name; undefined when neither works. */
function splitName(name: Buffer): { name: Buffer; prefix: Buffer } | undefined {
  if (name.length <= NAME_BYTES) return { name, prefix: Buffer.alloc(0) }
  // The slash of a directory's own name must stay in the name field.
  const cut = name.subarray(0, name.length - 1).lastIndexOf(SLASH, PREFIX_BYTES)
  if (cut <= 0 || name.length - cut - 1 > NAME_BYTES) return undefined
  return { name: name.subarray(cut + 1), prefix: name.subarray(0, cut) }
}

interface PaxInput {
  readonly name: Buffer
  readonly linkName: Buffer
  readonly size: number
  /** Whether the header block holds the whole name. */
  readonly fits: boolean
}

function paxRecords(member: TarMember, { name, linkName, size, fits }: PaxInput): Buffer[] {
  const records = new Map<string, Buffer>()
  if (!fits) records.set('path', name)
  if (linkName.length > NAME_BYTES) records.set('linkpath', linkName)
  // POSIX: without this, PAX names are UTF-8.
  if ([...records.values()].some((value) => !isUtf8(value))) records.set('hdrcharset', Buffer.from('BINARY'))
  if (size > MAX_OCTAL_11) records.set('size', Buffer.from(String(size)))
  if (member.uid > MAX_OCTAL_7) records.set('uid', Buffer.from(String(member.uid)))
  if (member.gid > MAX_OCTAL_7) records.set('gid', Buffer.from(String(member.gid)))
  const { seconds, nanoseconds } = member.mtime
  if (nanoseconds !== 0 || seconds < 0 || seconds > MAX_OCTAL_11) records.set('mtime', Buffer.from(decimalTime(member.mtime)))
  for (const [attribute, value] of member.xattrs ?? []) records.set(...xattrRecord(attribute, value))
  const keys = [...records.keys()].sort((a, b) => (a < b ? -1 : 1))
  return keys.map((key) => encodePaxRecord(key, records.get(key) as Buffer))
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes)
}

/** Seconds as POSIX writes them: -1.5 is half a second before -1. */
function decimalTime({ seconds, nanoseconds }: TarTime): string {
  const negative = seconds < 0 && nanoseconds > 0
  const whole = negative ? seconds + 1 : seconds
  const fraction = negative ? 1_000_000_000 - nanoseconds : nanoseconds
  const sign = negative && whole === 0 ? '-' : ''
  return fraction === 0 ? `${whole}` : `${sign}${whole}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
}

function xattrRecord(name: string, value: Uint8Array): [string, Buffer] {
  const key = Buffer.from(name).toString('latin1')
  // "=" ends a PAX keyword; libarchive's form escapes it.
  if (key.includes('=')) return [`LIBARCHIVE.xattr.${encodeURIComponent(name)}`, Buffer.from(Buffer.from(value).toString('base64'))]
  return [`SCHILY.xattr.${key}`, Buffer.from(value)]
}

/** The PAX header as a member of its own; its name depends on the member only. */
function paxMember(name: Buffer, records: Buffer): Buffer[] {
  const header = Buffer.alloc(TAR_BLOCK)
  const last = name.subarray(name.subarray(0, name.length - 1).lastIndexOf(SLASH) + 1)
  const paxName = Buffer.concat([Buffer.from('PaxHeaders/'), last]).subarray(0, NAME_BYTES - 1)
  const member: TarMember = { type: 'file', name: '', mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 } }
  writeHeader(header, { name: paxName, prefix: Buffer.alloc(0), linkName: Buffer.alloc(0), size: records.length, typeflag: 'x', member })
  return [header, records, Buffer.alloc(tarPadding(records.length))]
}

interface HeaderFields {
  readonly name: Buffer
  readonly prefix: Buffer
  readonly linkName: Buffer
  readonly size: number
  readonly typeflag: string
  readonly member: TarMember
}

function writeHeader(block: Buffer, { name, prefix, linkName, size, typeflag, member }: HeaderFields): void {
  const { mode, uid, gid, mtime, deviceMajor = 0, deviceMinor = 0 } = member
  name.copy(block, 0)
  writeOctal(block, { at: 100, digits: 7, value: mode & 0o7777 })
  // What does not fit is in the PAX header.
  writeOctal(block, { at: 108, digits: 7, value: uid > MAX_OCTAL_7 ? 0 : uid })
  writeOctal(block, { at: 116, digits: 7, value: gid > MAX_OCTAL_7 ? 0 : gid })
  writeOctal(block, { at: 124, digits: 11, value: size > MAX_OCTAL_11 ? 0 : size })
  writeOctal(block, { at: 136, digits: 11, value: Math.min(Math.max(mtime.seconds, 0), MAX_OCTAL_11) })
  block.write(typeflag, 156, 'latin1')
  linkName.copy(block, 157)
  block.write('ustar\u000000', 257, 'latin1')
  writeOctal(block, { at: 329, digits: 7, value: deviceMajor })
  writeOctal(block, { at: 337, digits: 7, value: deviceMinor })
  prefix.copy(block, 345)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

function writeOctal(block: Buffer, { at, digits, value }: { at: number; digits: number; value: number }): void {
  block.write(value.toString(8).padStart(digits, '0'), at, 'latin1')
}
