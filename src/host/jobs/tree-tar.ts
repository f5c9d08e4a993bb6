import {
  type BigIntStats,
  closeSync,
  constants,
  createWriteStream,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { escapeName, type TarEntryType, tarPadding } from '../../archive/tar-entry.ts'
import { encodeTarMember, TAR_END_BYTES, type TarMember } from '../../archive/tar-writer.ts'
import { errorCode, PodlibError } from '../../errors/errors.ts'
import type { JobContext } from '../job.ts'
import { lgetxattr, llistxattr } from '../sys/libc.ts'

export interface TreeTarInput {
  readonly directory: string
  /** A file to be made, or a FIFO that somebody reads. */
  readonly target: string
}

const CHUNK_BYTES = 1024 * 1024
/** What a layer may carry; the rest belongs to this machine. */
const KEPT_XATTR = /^(security\.capability$|user\.(?!overlay\.|containers\.)|system\.posix_acl_)/
const TYPES: readonly (readonly [TarEntryType, (stat: BigIntStats) => boolean])[] = [
  ['file', (stat) => stat.isFile()],
  ['directory', (stat) => stat.isDirectory()],
  ['symlink', (stat) => stat.isSymbolicLink()],
  ['character-device', (stat) => stat.isCharacterDevice()],
  ['block-device', (stat) => stat.isBlockDevice()],
  ['fifo', (stat) => stat.isFIFO()],
]

/**
 * Writes a directory as the tar of a layer: names sorted, links kept, times to the nanosecond. Sockets are left out, other
 * file systems that are mounted in it too.
 *
 * @throws ERR_ARCHIVE_INVALID when it changes meanwhile
 */
export async function treeTar({ directory, target }: TreeTarInput, { signal }: Pick<JobContext, 'signal'>): Promise<void> {
  const walk: Walk = { root: Buffer.from(directory), device: lstatSync(directory, { bigint: true }).dev, firstNames: new Map() }
  try {
    await pipeline(chunks(walk, signal), createWriteStream(target, { mode: 0o600 }), { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

interface Walk {
  readonly root: Buffer
  readonly device: bigint
  /** First name of each inode with several. */
  readonly firstNames: Map<bigint, Buffer>
}

function* chunks(walk: Walk, signal: AbortSignal): Generator<Buffer> {
  // Depth first without recursion: a tree may be deeper than the stack.
  const pending: Buffer[] = [Buffer.from('.')]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    signal.throwIfAborted()
    const path = join(walk.root, name)
    const stat = lstatSync(path, { bigint: true })
    const type = TYPES.find(([, is]) => is(stat))?.[0]
    if (type === undefined) continue
    yield* entry({ walk, path, name, stat, type })
    if (type !== 'directory' || stat.dev !== walk.device) continue
    const parent = name
    const children = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare).reverse()
    for (const child of children) pending.push(parent.equals(Buffer.from('.')) ? child : join(parent, child))
  }
  yield Buffer.alloc(TAR_END_BYTES)
}

interface WalkedEntry {
  readonly walk: Walk
  readonly path: Buffer
  readonly name: Buffer
  readonly stat: BigIntStats
  readonly type: TarEntryType
}

function* entry({ walk, path, name, stat, type }: WalkedEntry): Generator<Buffer> {
  const first = stat.nlink > 1n && type !== 'directory' ? walk.firstNames.get(stat.ino) : undefined
  if (first) return yield encodeTarMember({ ...attributes(stat), type: 'hard-link', name, linkName: first })
  if (stat.nlink > 1n && type !== 'directory') walk.firstNames.set(stat.ino, name)
  const member = { ...attributes(stat), type, name, xattrs: xattrsOf(path) }
  if (type !== 'file')
    return yield encodeTarMember(type === 'symlink' ? { ...member, linkName: readlinkSync(path, { encoding: 'buffer' }) } : member)
  yield encodeTarMember({ ...member, size: Number(stat.size) })
  yield* content(path, Number(stat.size), name)
}

function attributes(stat: BigIntStats): Omit<TarMember, 'type' | 'name'> {
  const nanoseconds = ((stat.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  const device = Number(stat.rdev)
  return {
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: { seconds: Number((stat.mtimeNs - nanoseconds) / 1_000_000_000n), nanoseconds: Number(nanoseconds) },
    deviceMajor: (device >> 8) & 0xfff,
    deviceMinor: (device & 0xff) | ((device >> 12) & 0xfff00),
  }
}

function xattrsOf(path: Buffer): Map<string, Buffer> {
  const kept = llistxattr(path).filter((name) => KEPT_XATTR.test(name))
  return new Map(kept.flatMap((name) => xattrOf(path, name)))
}

function xattrOf(path: Buffer, name: string): [string, Buffer][] {
  const value = lgetxattr(path, name)
  return value === undefined ? [] : [[name, value]]
}

function* content(path: Buffer, size: number, name: Buffer): Generator<Buffer> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    if (!fstatSync(fd).isFile()) throw changed(name)
    for (let left = size; left > 0; ) {
      const chunk = Buffer.allocUnsafe(Math.min(left, CHUNK_BYTES))
      const read = readSync(fd, chunk, 0, chunk.length, null)
      if (read === 0) throw changed(name)
      yield chunk.subarray(0, read)
      left -= read
    }
  } catch (error) {
    throw errorCode(error) === 'ENOENT' || errorCode(error) === 'ELOOP' ? changed(name) : error
  } finally {
    closeSync(fd)
  }
  yield Buffer.alloc(tarPadding(size))
}

function join(parent: Buffer, name: Buffer): Buffer {
  return Buffer.concat([parent, Buffer.from('/'), name])
}

function changed(name: Buffer): PodlibError {
  return new PodlibError('ERR_ARCHIVE_INVALID', `${escapeName(name)} changed while it was read`)
}
