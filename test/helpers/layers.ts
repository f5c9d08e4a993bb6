import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeLayerTar } from '../../src/host/jobs/layer-tar.ts'
import { type UnpackedLayer, type UnpackLayerInput, unpackLayer } from '../../src/host/jobs/unpack-layer.ts'
import { lgetxattr, llistxattr } from '../../src/host/sys/libc.ts'

/** A temporary directory that layers are unpacked in, with a canary beside them that nothing may touch. */
export class LayerBench {
  readonly path = mkdtempSync(join(tmpdir(), 'podlib-layer-'))
  #next = 0

  /** Unpacks bytes of a blob into a fresh directory; `tree(...)` of the result looks inside. */
  async unpack(blob: Buffer, options: Partial<UnpackLayerInput> = {}, signal = new AbortController().signal): Promise<UnpackedBench> {
    const number = this.#next++
    const source = join(this.path, `blob-${number}`)
    const directory = join(this.path, `layer-${number}`)
    writeFileSync(source, blob)
    const input: UnpackLayerInput = {
      source: { path: source },
      blob: undefined,
      diffId: undefined,
      directory,
      xattrPrefix: 'trusted',
      ...options,
    }
    const result = await unpackLayer(input, { signal, report: () => {} })
    return { ...result, directory, fs: join(directory, 'fs') }
  }

  /** The tar of an unpacked layer, written again. */
  async tarOf(directory: string, compression?: 'gzip' | 'zstd'): Promise<Buffer> {
    const target = join(this.path, `tar-${this.#next++}`)
    await writeLayerTar({ directory, target, ...(compression && { compression }) }, { signal: new AbortController().signal })
    return readFileSync(target)
  }

  /** Names of what is left of failed unpackings: always none. */
  leftovers(): string[] {
    return readdirSync(this.path).filter((name) => name.startsWith('layer-'))
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

export interface UnpackedBench extends UnpackedLayer {
  readonly directory: string
  readonly fs: string
}

/** What a file is, in one comparable value. Inode numbers become the first path that has the inode. */
export interface FileFacts {
  readonly type: string
  readonly mode: string
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
  readonly size: bigint
  readonly device: bigint
  readonly links: bigint
  readonly firstName: string
  readonly content: string
  readonly xattrs: Readonly<Record<string, string>>
}

/** Everything below a directory, with the directory itself as `.`; names as Latin-1. */
export function treeFacts(root: string): Map<string, FileFacts> {
  const facts = new Map<string, FileFacts>()
  const inodes = new Map<bigint, string>()
  visit(Buffer.from(root), '.', { facts, inodes })
  return facts
}

function visit(path: Buffer, name: string, found: { facts: Map<string, FileFacts>; inodes: Map<bigint, string> }): void {
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
    content: stat.isSymbolicLink() ? readlinkSync(path, 'latin1') : stat.isFile() ? readFileSync(path).toString('latin1') : '',
    xattrs: Object.fromEntries(
      llistxattr(path)
        .sort()
        .map((xattr) => [xattr, (lgetxattr(path, xattr) as Buffer).toString('hex')]),
    ),
  })
  if (!isDirectory) return
  const children = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare)
  for (const child of children)
    visit(
      Buffer.concat([path, Buffer.from('/'), child]),
      name === '.' ? child.toString('latin1') : `${name}/${child.toString('latin1')}`,
      found,
    )
}

/** Names below a directory, sorted. */
export function treeNames(root: string): string[] {
  return existsSync(root) ? [...treeFacts(root).keys()].filter((name) => name !== '.') : []
}
