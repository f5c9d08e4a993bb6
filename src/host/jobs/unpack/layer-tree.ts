import type { TarTime } from '../../../archive/tar-entry.ts'
import { PodlibError } from '../../../errors/errors.ts'

/** A directory of the layer that is being unpacked. */
export interface DirectoryNode {
  readonly kind: 'directory'
  /** Relative to the root, whose own is empty. */
  readonly path: string
  readonly children: Map<string, TreeNode>
  /** No entry of its own so far: a mount takes its attributes from a lower layer. */
  implied: boolean
  /** Hides what lower layers have in it. */
  opaque: boolean
  /** Owner, mode, times and a default ACL are set when all children are there, which would inherit some of it. */
  uid: number
  gid: number
  mode: number
  mtime: TarTime | undefined
  atime: TarTime | undefined
  defaultAcl: Buffer | undefined
}

/** Anything else. `absent`: a device that could not be made, so nothing is on disk. */
export interface LeafNode {
  readonly kind: 'file' | 'other' | 'whiteout' | 'absent'
  /** Number of the side file's record whose content this file holds, or -1. */
  readonly payload: number
}

export type TreeNode = DirectoryNode | LeafNode

export const OTHER: LeafNode = { kind: 'other', payload: -1 }
export const WHITEOUT: LeafNode = { kind: 'whiteout', payload: -1 }
export const ABSENT: LeafNode = { kind: 'absent', payload: -1 }
/** A file without content in the tar: empty, or a further name of another. */
export const EMPTY_FILE: LeafNode = { kind: 'file', payload: -1 }

export function directoryNode(path: string, implied: boolean): DirectoryNode {
  const owner = { uid: 0, gid: 0, mode: 0o755 }
  const times = { mtime: undefined, atime: undefined }
  return { kind: 'directory', path, children: new Map(), implied, opaque: false, ...owner, ...times, defaultAcl: undefined }
}

const MAX_DEPTH = 1024
/** PATH_MAX. */
const MAX_NAME_BYTES = 4096

/**
 * The components of a name in an archive, as Latin-1 strings (any bytes, one character a byte), without
 * the leading `/` and `./`. The root of the layer has none.
 *
 * @throws ERR_LAYER_INVALID for a name that is empty, too long, has a NUL byte or a `..`
 */
export function nameComponents(name: Buffer, what: string): string[] {
  if (name.length === 0) throw invalidName(what, 'is empty')
  if (name.length > MAX_NAME_BYTES) throw invalidName(what, `is longer than ${MAX_NAME_BYTES} bytes`)
  if (name.includes(0)) throw invalidName(what, 'has a NUL byte')
  const text = name.toString('latin1')
  const components: string[] = []
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    const slash = text.indexOf('/', start)
    end = slash < 0 ? text.length : slash
    const component = text.slice(start, end)
    if (component === '..') throw invalidName(what, 'leads out of its directory with ".."')
    if (component !== '' && component !== '.') components.push(component)
  }
  if (components.length > MAX_DEPTH) throw invalidName(what, `is more than ${MAX_DEPTH} directories deep`)
  return components
}

function invalidName(what: string, why: string): PodlibError {
  return new PodlibError('ERR_LAYER_INVALID', `the ${what} ${why}`)
}

/** The node at a path, reached through directories only: a symbolic link on the way is the end of it. */
export function findNode(root: DirectoryNode, components: readonly string[]): TreeNode | undefined {
  let node: TreeNode | undefined = root
  for (const component of components) {
    if (node?.kind !== 'directory') return undefined
    node = node.children.get(component)
  }
  return node
}

/** The path of a child. */
export function childPath({ path }: DirectoryNode, name: string): string {
  return path === '' ? name : `${path}/${name}`
}

/** All directories below a node, the node itself first. */
export function* directories(node: DirectoryNode): Generator<DirectoryNode> {
  const stack = [node]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    yield next
    for (const child of next.children.values()) if (child.kind === 'directory') stack.push(child)
  }
}
