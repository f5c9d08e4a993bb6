/** What an entry of a tar becomes in a file system. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hard-link' | 'character-device' | 'block-device' | 'fifo'

/** A point in time with the resolution of a file system. `nanoseconds` is never negative. */
export interface TarTime {
  readonly seconds: number
  readonly nanoseconds: number
}

/** A piece of a sparse file that is data, in the coordinates of the file. */
export interface SparseSegment {
  readonly offset: number
  readonly length: number
}

/**
 * One member of a tar with everything that its headers say. Names are bytes: an image may hold names
 * that are not UTF-8.
 */
export interface TarEntry {
  readonly type: TarEntryType
  /** As written: with a leading `./` or `/` and a trailing `/` where the archive has them. */
  readonly name: Buffer
  /** Target of a symbolic or hard link; empty otherwise. */
  readonly linkName: Buffer
  /** Permission bits with setuid, setgid and sticky, without the file type. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Size of the file, holes included. 0 for everything that is no file. */
  readonly size: number
  /** Bytes that the tar holds for it: less than `size` for a sparse file. */
  readonly storedSize: number
  readonly mtime: TarTime
  readonly atime: TarTime | undefined
  readonly xattrs: ReadonlyMap<string, Buffer>
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** Where the data of a sparse file belongs, in order; undefined for an ordinary file. */
  readonly sparse: readonly SparseSegment[] | undefined
  /** Where in the tar the entry's first header block is. */
  readonly offset: number
}

export const TAR_BLOCK = 512

/** How many bytes fill `size` up to a whole number of blocks. */
export function tarPadding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK
}

const SHOWN_LENGTH = 200

/** A name for an error message: printable, unambiguous, of bounded length. */
export function escapeName(name: Uint8Array): string {
  const bytes = Buffer.from(name.buffer, name.byteOffset, Math.min(name.length, SHOWN_LENGTH))
  const text = bytes.toString('utf8')
  const escaped = text.includes('\ufffd')
    ? bytes.toString('latin1').replace(/[^ -~]|["\\]/g, escapeCharacter)
    : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}"\\]/gu, escapeCharacter)
  return name.length > SHOWN_LENGTH ? `${escaped}...` : escaped
}

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}
