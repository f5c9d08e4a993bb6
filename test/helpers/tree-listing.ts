import { createHash } from 'node:crypto'
import { closeSync, existsSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import { lgetxattr, llistxattr } from '../../src/host/sys/libc.ts'

/** What a file is, in one comparable value. */
export interface FileFacts {
  readonly type: string
  readonly mode: string
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
  readonly size: bigint
  /** Of the device that it is. */
  readonly device: bigint
  readonly links: bigint
  /** The first path, in the order of names, that has the same inode: equal for all names of one file. */
  readonly firstName: string
  /** Of a file: its bytes as Latin-1, or the digest of many bytes. Of a link: its target. */
  readonly content: string
  readonly xattrs: Readonly<Record<string, string>>
}

const MAX_CONTENT = 4096
const CHUNK = Buffer.alloc(1024 * 1024)

/** Everything below a directory, with the directory itself as `.`; names as Latin-1. Follows no link. */
export function treeFacts(root: string): Map<string, FileFacts> {
  const facts = new Map<string, FileFacts>()
  visit(Buffer.from(root), '.', { facts, inodes: new Map() })
  return facts
}

/** Names below a directory, sorted. */
export function treeNames(root: string): string[] {
  return existsSync(root) ? [...treeFacts(root).keys()].filter((name) => name !== '.') : []
}

interface Found {
  readonly facts: Map<string, FileFacts>
  readonly inodes: Map<bigint, string>
}

function visit(path: Buffer, name: string, found: Found): void {
  const stat = lstatSync(path, { bigint: true })
  const firstName = found.inodes.get(stat.ino) ?? name
  found.inodes.set(stat.ino, firstName)
  const isDirectory = stat.isDirectory()
  found.facts.set(name, {
    type: (Number(stat.mode) & 0o170000).toString(8),
    mode: (Number(stat.mode) & 0o7777).toString(8),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    size: isDirectory ? 0n : stat.size,
    device: stat.rdev,
    links: isDirectory ? 0n : stat.nlink,
    firstName,
    content: stat.isSymbolicLink() ? readlinkSync(path, 'latin1') : stat.isFile() ? contentOf(path, Number(stat.size)) : '',
    xattrs: xattrsOf(path),
  })
  if (!isDirectory) return
  for (const child of readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare)) {
    const text = child.toString('latin1')
    visit(Buffer.concat([path, Buffer.from('/'), child]), name === '.' ? text : `${name}/${text}`, found)
  }
}

function contentOf(path: Buffer, size: number): string {
  if (size === 0) return ''
  const fd = openSync(path, 'r')
  const hash = createHash('sha256')
  try {
    let used = readSync(fd, CHUNK)
    if (size <= MAX_CONTENT) return CHUNK.toString('latin1', 0, used)
    for (; used > 0; used = readSync(fd, CHUNK)) hash.update(CHUNK.subarray(0, used))
  } finally {
    closeSync(fd)
  }
  return `sha256:${hash.digest('hex')}`
}

function xattrsOf(path: Buffer): Record<string, string> {
  const names = llistxattr(path).sort()
  return Object.fromEntries(names.map((name) => [name, (lgetxattr(path, name) as Buffer).toString('hex')]))
}
