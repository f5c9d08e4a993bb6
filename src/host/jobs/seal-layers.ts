import { closeSync, existsSync, lstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { IMPLIED_ROOT, LAYER_TREE, OPAQUE_ROOT, readImpliedDirectories } from '../../archive/layer-files.ts'
import { lgetxattr, syncfs } from '../sys/libc.ts'
import { adoptAttributes } from './adopt-attributes.ts'

export interface SealLayersInput {
  /** Directories of the layers of one image, bottom first. */
  readonly layers: readonly string[]
  /** A directory of the file system that holds them. */
  readonly root: string
}

/**
 * Makes a stack of layers fit to be used: directories that a layer has no entry for, but files in, get the attributes of
 * the same directory below, which overlay would otherwise hide; then everything is written to disk.
 */
export function sealLayers({ layers, root }: SealLayersInput): void {
  for (const [position, layer] of layers.entries()) adoptDirectories(layer, layers.slice(0, position).reverse())
  const fd = openSync(root, 'r')
  try {
    syncfs(fd)
  } finally {
    closeSync(fd)
  }
}

function adoptDirectories(layer: string, below: readonly string[]): void {
  if (existsSync(join(layer, IMPLIED_ROOT)) && below[0] !== undefined) adoptAttributes(join(layer, LAYER_TREE), join(below[0], LAYER_TREE))
  for (const path of readImpliedDirectories(layer)) {
    const original = directoryBelow(path, layer, below)
    if (original !== undefined) adoptAttributes(pathsTo(layer, path).at(-1) as Buffer, original)
  }
}

/** The directory of a lower layer that overlay merges with one of `layer`: none where a layer on the way hides it. */
function directoryBelow(path: Buffer, layer: string, below: readonly string[]): Buffer | undefined {
  // A directory that is opaque itself hides what is in it; it is still the same directory.
  const parents = pathsTo(layer, path).slice(0, -1)
  if (isOpaqueRoot(layer) || parents.some(isOpaque)) return undefined
  for (const lower of below) {
    const found = lookUp(lower, path)
    if (found === 'hidden') return undefined
    if (found !== 'not there') return found
  }
  return undefined
}

/**
 * A directory in the tree of a layer, reached through directories only: a symbolic link on the way would lead out of the
 * layer, and is not what a directory is merged with.
 *
 * @returns `hidden` where the layer has something else, or an opaque directory without it
 */
function lookUp(layer: string, path: Buffer): Buffer | 'hidden' | 'not there' {
  let opaque = isOpaqueRoot(layer)
  const paths = pathsTo(layer, path)
  for (const at of paths) {
    const stats = lstatSync(at, { throwIfNoEntry: false })
    if (stats === undefined) return opaque ? 'hidden' : 'not there'
    if (!stats.isDirectory()) return 'hidden'
    opaque ||= isOpaque(at)
  }
  return paths.at(-1) as Buffer
}

function isOpaqueRoot(layer: string): boolean {
  return existsSync(join(layer, OPAQUE_ROOT))
}

function isOpaque(path: Buffer): boolean {
  return ['trusted', 'user'].some((prefix) => lgetxattr(path, `${prefix}.overlay.opaque`)?.toString() === 'y')
}

/** Each directory on the way to a path in a layer, itself last. */
function pathsTo(layer: string, path: Buffer): Buffer[] {
  const names = path.toString('latin1').split('/')
  const tree = Buffer.from(join(layer, LAYER_TREE, '/'))
  return names.map((_, index) => Buffer.concat([tree, Buffer.from(names.slice(0, index + 1).join('/'), 'latin1')]))
}
