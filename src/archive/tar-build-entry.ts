import { paxNumber, paxTime } from './pax.ts'
import type { TarEntry, TarEntryType } from './tar-entry.ts'
import type { MemberExtensions } from './tar-extensions.ts'
import { invalidTar, type TarHeader } from './tar-header.ts'

/** The headers of one member, before they are merged. */
export interface MemberHeaders {
  readonly header: TarHeader
  readonly extensions: MemberExtensions
  /** Offset of the first of them. */
  readonly offset: number
  readonly sparseName: Buffer | undefined
}

/** (uid_t)-1 means "leave as it is" to chown(2), so it can be nobody's. */
const MAX_ID = 0xfffffffe
const SLASH = 47
const NONE: ReadonlyMap<string, Buffer> = new Map()
const NO_NAME = Buffer.alloc(0)

const TYPES: ReadonlyMap<string, TarEntryType> = new Map([
  ['0', 'file'],
  ['\0', 'file'],
  ['7', 'file'],
  ['S', 'file'],
  ['1', 'hard-link'],
  ['2', 'symlink'],
  ['3', 'character-device'],
  ['4', 'block-device'],
  ['5', 'directory'],
  ['6', 'fifo'],
])

/** @throws ERR_LAYER_INVALID for a type that has no place in a layer */
export function typeOf({ typeflag, isGnu }: TarHeader, offset: number): TarEntryType {
  const type = TYPES.get(typeflag)
  if (type === undefined || (typeflag === 'S' && !isGnu))
    throw invalidTar(`unsupported entry type ${JSON.stringify(typeflag)}`, offset, { typeflag })
  return type
}

/** Merges header block, PAX records and GNU long names: GNU names win over PAX, PAX over the block. */
export function buildEntry({ header, extensions, offset, sparseName }: MemberHeaders): TarEntry {
  const { pax, longName, longLink } = extensions
  const values = pax?.values ?? NONE
  const text = (key: string) => (values.get(key)?.length ? values.get(key) : undefined)
  const name = longName ?? sparseName ?? text('path') ?? header.name
  // V7 had no type for directories: a trailing slash said it.
  const type = header.typeflag === '\0' && name.at(-1) === SLASH ? 'directory' : typeOf(header, offset)
  // A size on anything but a file is not content: Go, GNU and bsdtar agree for all types that builders use.
  const storedSize = type === 'file' ? (paxNumber(values, 'size', offset) ?? header.size) : 0
  return {
    type,
    name,
    linkName: type === 'symlink' || type === 'hard-link' ? (longLink ?? text('linkpath') ?? header.linkName) : NO_NAME,
    mode: header.mode,
    uid: checkedId(paxNumber(values, 'uid', offset) ?? header.uid, 'uid', offset),
    gid: checkedId(paxNumber(values, 'gid', offset) ?? header.gid, 'gid', offset),
    size: storedSize,
    storedSize,
    mtime: paxTime(values, 'mtime', offset) ?? { seconds: header.mtime, nanoseconds: 0 },
    atime: paxTime(values, 'atime', offset),
    xattrs: pax?.xattrs ?? NONE,
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
    sparse: undefined,
    offset,
  }
}

function checkedId(id: number, field: string, offset: number): number {
  if (id > MAX_ID) throw invalidTar(`${field} ${id} is out of range`, offset, { [field]: id })
  return id
}
