import type { FileHandle } from 'node:fs/promises'
import { PodlibError } from '../errors/errors.ts'
import { parsePaxRecords, paxAttributes } from './pax.ts'
import { buildEntry } from './tar-build-entry.ts'
import { TAR_BLOCK, type TarEntry, tarPadding } from './tar-entry.ts'
import type { MemberExtensions } from './tar-extensions.ts'
import { cutAtNul, invalidTar, isExtensionType, parseTarHeader, type TarHeader } from './tar-header.ts'

/** A member of a tar on disk: what its headers say, and where its content begins. */
export interface IndexedEntry extends TarEntry {
  readonly contentOffset: number
}

export interface TarIndexLimits {
  readonly maxEntries: number
  /** Most bytes of one PAX or GNU long-name header. */
  readonly maxHeaderBytes: number
}

/** Headers are read this much at a time: small members follow each other closely. */
const READ_BYTES = 64 * 1024
const ZERO_BLOCK = Buffer.alloc(TAR_BLOCK)
const NO_EXTENSIONS: MemberExtensions = { pax: undefined, longName: undefined, longLink: undefined }

/**
 * Lists the members of a tar in a file by reading its headers only: an archive of gigabytes takes as many reads as it
 * has members. For archives of a few files; layers are read by {@link TarReader}.
 *
 * @throws ERR_LAYER_INVALID for what is no tar, ERR_ARCHIVE_TOO_LARGE beyond a limit
 */
export async function* indexTar(file: FileHandle, limits: TarIndexLimits, signal?: AbortSignal): AsyncGenerator<IndexedEntry> {
  const { size: fileSize } = await file.stat()
  const reader = new BlockReader(file)
  let extensions = NO_EXTENSIONS
  let entries = 0
  for (let offset = 0; ; ) {
    signal?.throwIfAborted()
    const block = await reader.read(offset, TAR_BLOCK)
    // End blocks, or an archive that ends without them.
    if (block.length === 0 || block.equals(ZERO_BLOCK)) return
    if (block.length < TAR_BLOCK) throw invalidTar('the tar is cut off', offset)
    const header = parseTarHeader(block, offset)
    const content = offset + TAR_BLOCK
    if (isExtensionType(header.typeflag)) {
      if (header.size > limits.maxHeaderBytes) throw tooLarge(`a header of ${header.size} bytes`)
      extensions = extend(extensions, header, { bytes: await reader.read(content, header.size), offset })
      offset = content + header.size + tarPadding(header.size)
      continue
    }
    // Its content is not in one piece, and extra header blocks would follow.
    if (header.typeflag === 'S' || isSparse(extensions)) throw invalidTar('a sparse member', offset)
    if (++entries > limits.maxEntries) throw tooLarge(`more than ${limits.maxEntries} members`)
    const entry = buildEntry({ header, extensions, offset, sparseName: undefined })
    if (content + entry.storedSize > fileSize) throw invalidTar('the tar is cut off', offset)
    yield { ...entry, contentOffset: content }
    extensions = NO_EXTENSIONS
    offset = content + entry.storedSize + tarPadding(entry.storedSize)
  }
}

function isSparse({ pax }: MemberExtensions): boolean {
  return pax?.records.some(({ key }) => key.startsWith('GNU.sparse.')) ?? false
}

function extend(
  before: MemberExtensions,
  { typeflag, size }: TarHeader,
  { bytes, offset }: { bytes: Buffer; offset: number },
): MemberExtensions {
  if (bytes.length < size) throw invalidTar('the tar is cut off', offset)
  const own = Buffer.from(bytes)
  if (typeflag === 'x') return { ...before, pax: paxAttributes(parsePaxRecords(own, offset), offset) }
  if (typeflag === 'L') return { ...before, longName: cutAtNul(own) }
  if (typeflag === 'K') return { ...before, longLink: cutAtNul(own) }
  return before
}

/** Reads ahead, so that neighbouring headers come from memory. */
class BlockReader {
  readonly #file: FileHandle
  #start = 0
  #bytes: Buffer = Buffer.alloc(0)

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** At most `length` bytes; fewer only at the end of the file. Good until the next call. */
  async read(position: number, length: number): Promise<Buffer> {
    const begin = position - this.#start
    if (begin >= 0 && begin + length <= this.#bytes.length) return this.#bytes.subarray(begin, begin + length)
    const buffer = Buffer.allocUnsafe(Math.max(READ_BYTES, length))
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await this.#file.read(buffer, filled, buffer.length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    this.#start = position
    this.#bytes = buffer.subarray(0, filled)
    return this.#bytes.subarray(0, Math.min(length, filled))
  }
}

function tooLarge(what: string): PodlibError {
  return new PodlibError('ERR_ARCHIVE_TOO_LARGE', `the archive has ${what}`)
}
