import { chmodSync, lchownSync, lstatSync, mkdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs'
import { LAYER_REPLACED, LAYER_TREE, writeImpliedDirectories } from '../../../archive/layer-files.ts'
import { escapeName, type TarEntry } from '../../../archive/tar-entry.ts'
import { errorCode, PodlibError } from '../../../errors/errors.ts'
import { lremovexattr, lsetxattr, mknod } from '../../sys/libc.ts'
import { applyDirectoryXattrs, applyOwnership, type HostPath, type Lost, type Natural, setDefaultAcl, setTimes } from './attributes.ts'
import { childPath, type DirectoryNode, directories, directoryNode, type TreeNode, WHITEOUT } from './layer-tree.ts'

/** What a finished layer is to those above and below it. */
export interface LayerShape {
  /** Directories without an entry of their own; their paths are in the file `implied-directories`. */
  readonly impliedDirectories: number
  /** Whether the layer says what the root directory is like. */
  readonly hasRootEntry: boolean
  /** Whether the layer hides everything below it. Overlay ignores the mark on a root: do not mount the layers below. */
  readonly opaqueRoot: boolean
}

const S_IFCHR = 0o020000
const ASCII = /^[\0-\x7f]*$/

/**
 * The tree of one layer on disk, and a model of it in memory. The directory is private and was empty, so
 * the model is complete: every path is checked in the model, and the kernel is never given one that
 * crosses a symbolic link, whatever the names in the layer.
 */
export class LayerDisk {
  readonly root: DirectoryNode = directoryNode('', true)
  readonly lost: Lost = { ignoredXattrs: 0 }
  readonly natural: Natural
  readonly #directory: string
  readonly #treePrefix: string
  readonly #xattrPrefix: 'trusted' | 'user'
  #hasReplaced = false

  constructor(directory: string, xattrPrefix: 'trusted' | 'user') {
    this.#directory = directory
    this.#treePrefix = Buffer.from(`${directory}/${LAYER_TREE}`).toString('latin1')
    this.#xattrPrefix = xattrPrefix
    const path = this.path('')
    mkdirSync(path, { mode: 0o777 })
    removeInheritance(path)
    const natural = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, umask: 0o777 & ~lstatSync(path).mode }
    lchownSync(path, natural.uid, natural.gid)
    chmodSync(path, 0o755)
    this.natural = natural
  }

  /** The path on the host of a path inside the tree, whose bytes are the characters of a Latin-1 string. */
  path(inTree: string): HostPath {
    const path = inTree === '' ? this.#treePrefix : `${this.#treePrefix}/${inTree}`
    // Node takes strings faster than bytes, but writes what is not ASCII as UTF-8.
    return ASCII.test(path) ? path : Buffer.from(path, 'latin1')
  }

  /** The directory that an entry goes into; missing ones are made and marked as implied. */
  parent(components: readonly string[]): DirectoryNode {
    let node = this.root
    for (let depth = 1; depth < components.length; depth++) {
      const name = components[depth - 1] as string
      const child = node.children.get(name)
      if (child?.kind === 'directory') node = child
      else if (child === undefined || child.kind === 'whiteout') node = this.#makeDirectory(node, name)
      else throw invalid('cannot put an entry below something that is not a directory', components.slice(0, depth))
    }
    return node
  }

  /** Removes what has the name, content kept if the tar needs it for re-assembly. Says whether it was a whiteout. */
  clear(parent: DirectoryNode, name: string): boolean {
    const node = parent.children.get(name)
    if (node === undefined) return false
    this.#remove(node, childPath(parent, name))
    parent.children.delete(name)
    return node.kind === 'whiteout'
  }

  /** A directory entry: merges with a directory of that name, replaces anything else. */
  directory(components: readonly string[], entry: TarEntry): void {
    let node: TreeNode | undefined = this.root
    if (components.length > 0) {
      const parent = this.parent(components)
      const name = components.at(-1) as string
      node = parent.children.get(name)
      if (node?.kind !== 'directory') node = this.#makeDirectory(parent, name)
    }
    node.implied = false
    node.uid = entry.uid
    node.gid = entry.gid
    node.mode = entry.mode
    node.mtime = entry.mtime
    node.atime = entry.atime
    if (entry.xattrs.size > 0) node.defaultAcl = applyDirectoryXattrs(this.path(node.path), entry, this.lost) ?? node.defaultAcl
  }

  /** Hides a name of lower layers. What this layer itself has under that name stays, whichever came first. */
  whiteout(components: readonly string[], entry: TarEntry): void {
    if (this.#isBelowWhiteout(components)) return
    const parent = this.parent(components)
    const name = components.at(-1) as string
    const existing = parent.children.get(name)
    if (existing?.kind === 'directory') {
      existing.opaque = true
      existing.implied = false
    }
    if (existing !== undefined) return
    const path = this.path(childPath(parent, name))
    mknod(path, S_IFCHR, 0n)
    lchownSync(path, entry.uid, entry.gid)
    setTimes(path, entry)
    parent.children.set(name, WHITEOUT)
  }

  /** Hides everything that lower layers have in a directory. */
  opaque(components: readonly string[]): void {
    if (this.#isBelowWhiteout([...components, ''])) return
    this.parent([...components, '']).opaque = true
  }

  /** Sets what had to wait for all entries. */
  finish(): LayerShape {
    const implied: string[] = []
    for (const node of directories(this.root)) {
      const path = this.path(node.path)
      applyOwnership(path, node, this.natural)
      if (node.opaque) lsetxattr(path, `${this.#xattrPrefix}.overlay.opaque`, Buffer.from('y'))
      if (node.defaultAcl) setDefaultAcl(path, node.defaultAcl, this.lost)
      if (node.mtime) setTimes(path, { mtime: node.mtime, atime: node.atime })
      if (node.implied && node !== this.root) implied.push(node.path)
    }
    writeImpliedDirectories(this.#directory, implied)
    return { impliedDirectories: implied.length, hasRootEntry: !this.root.implied, opaqueRoot: this.root.opaque }
  }

  #makeDirectory(parent: DirectoryNode, name: string): DirectoryNode {
    const hadWhiteout = this.clear(parent, name)
    const path = childPath(parent, name)
    mkdirSync(this.path(path), { mode: 0o755 })
    // In place of a hidden directory: nothing of that one may shine through, nor lend its attributes.
    const node = directoryNode(path, !hadWhiteout)
    node.opaque = hadWhiteout
    parent.children.set(name, node)
    return node
  }

  #remove(node: TreeNode, inTree: string): void {
    const path = this.path(inTree)
    if (node.kind === 'directory') {
      for (const [name, child] of node.children) this.#remove(child, childPath(node, name))
      rmdirSync(path)
    } else if (node.payload >= 0) this.#keep(path, node.payload)
    else if (node.kind !== 'absent') unlinkSync(path)
  }

  #keep(path: HostPath, payload: number): void {
    const replaced = `${this.#directory}/${LAYER_REPLACED}`
    if (!this.#hasReplaced) mkdirSync(replaced, { mode: 0o700 })
    this.#hasReplaced = true
    renameSync(path, `${replaced}/${payload}`)
  }

  #isBelowWhiteout(components: readonly string[]): boolean {
    let node: TreeNode | undefined = this.root
    for (const component of components.slice(0, -1)) {
      node = node?.kind === 'directory' ? node.children.get(component) : undefined
    }
    return node?.kind === 'whiteout'
  }
}

/** What a store's directory hands on to all below it would stand in the way of what the layer says. */
function removeInheritance(path: HostPath): void {
  for (const name of ['system.posix_acl_default', 'system.posix_acl_access']) {
    try {
      lremovexattr(path, name)
    } catch (error) {
      if (!['ENODATA', 'ENOTSUP', 'EOPNOTSUPP'].includes(errorCode(error) ?? '')) throw error
    }
  }
}

export function invalid(what: string, components: readonly string[]): PodlibError {
  return new PodlibError('ERR_LAYER_INVALID', `${what}: ${escapeName(Buffer.from(components.join('/'), 'latin1'))}`)
}
