import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type IndexedEntry, indexTar } from '../archive/tar-index.ts'
import { errorCode, isPodlibError, PodlibError } from '../errors/errors.ts'
import { type FileSet, missing, readRange } from './file-set.ts'

/** An archive has an image's documents and its layers: some hundred members. */
const LIMITS = { maxEntries: 50_000, maxHeaderBytes: 64 * 1024 }
const MAX_NAME_BYTES = 1024
/** A link to a link to a link serves nobody. */
const MAX_LINKS = 8

interface Member {
  readonly kind: 'file' | 'link' | 'other'
  readonly offset: number
  readonly size: number
  /** Target of a link, as a name of the archive. */
  readonly target: string | undefined
}

/**
 * The files in an uncompressed tar on disk, by reading its headers. Nothing is unpacked: a name in the archive is a key
 * and never a path, and its links lead to other members only.
 *
 * @throws ERR_ARCHIVE_INVALID, ERR_ARCHIVE_TOO_LARGE
 */
export async function archiveFiles(path: string, where: string, signal?: AbortSignal): Promise<FileSet> {
  const file = await openArchive(path, where)
  let members: ReadonlyMap<string, Member>
  try {
    members = await readMembers(file, where, signal)
  } finally {
    await file.close()
  }
  const find = (name: string): Member | undefined => {
    let member = members.get(normalName(name) ?? '')
    for (let links = 0; member?.kind === 'link' && links < MAX_LINKS; links++) member = members.get(member.target ?? '')
    return member?.kind === 'file' ? member : undefined
  }
  const locate = async (name: string) => {
    const member = find(name)
    if (member === undefined) throw missing(where, name)
    return { path, offset: member.offset, size: member.size }
  }
  return {
    where,
    has: async (name) => find(name) !== undefined,
    locate,
    async read(name, { maxBytes, signal: readSignal }) {
      const { offset, size } = await locate(name)
      const handle = await openArchive(path, where)
      try {
        return await readRange(handle, { offset, size, maxBytes, what: `${name} of ${where}`, signal: readSignal })
      } finally {
        await handle.close()
      }
    },
  }
}

async function openArchive(path: string, where: string): Promise<FileHandle> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (error) {
    if (isPodlibError(error)) throw error
    throw new PodlibError('ERR_ARCHIVE_INVALID', `cannot open ${where}: ${errorCode(error)}`, { details: { path }, cause: error })
  }
  throw new PodlibError('ERR_ARCHIVE_INVALID', `${where} is not a file`, { details: { path } })
}

async function readMembers(file: FileHandle, where: string, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, Member>> {
  const members = new Map<string, Member>()
  try {
    for await (const entry of indexTar(file, LIMITS, signal)) {
      const name = normalName(entry.name)
      if (name === undefined || entry.type === 'directory') continue
      // One reader would take the first, another the last: two images in one archive.
      if (members.has(name)) throw new PodlibError('ERR_ARCHIVE_INVALID', `${where} has two members named ${JSON.stringify(name)}`)
      members.set(name, memberOf(entry, name))
    }
  } catch (error) {
    if (!isPodlibError(error, 'ERR_LAYER_INVALID')) throw error
    throw new PodlibError('ERR_ARCHIVE_INVALID', `${where} is no archive of images: ${error.message}`, {
      details: error.details,
      cause: error,
    })
  }
  return members
}

function memberOf(entry: IndexedEntry, name: string): Member {
  const { contentOffset: offset, size } = entry
  if (entry.type === 'file') return { kind: 'file', offset, size, target: undefined }
  if (entry.type === 'hard-link') return { kind: 'link', offset, size: 0, target: normalName(entry.linkName) }
  if (entry.type !== 'symlink') return { kind: 'other', offset, size: 0, target: undefined }
  const parent = name.slice(0, name.lastIndexOf('/') + 1)
  const link = entry.linkName.toString('utf8')
  return { kind: 'link', offset, size: 0, target: normalName(link.startsWith('/') ? link : parent + link) }
}

/** A name without `.`, `..` and doubled slashes; undefined for one that leads out of the archive or is too long. */
function normalName(name: string | Buffer): string | undefined {
  if (name.length > MAX_NAME_BYTES) return undefined
  const parts: string[] = []
  for (const part of name.toString('utf8').split('/')) {
    if (part === '..' && parts.pop() === undefined) return undefined
    if (part !== '' && part !== '.' && part !== '..') parts.push(part)
  }
  return parts.join('/')
}
