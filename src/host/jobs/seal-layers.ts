import { chmodSync, closeSync, existsSync, lchownSync, lstatSync, openSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { IMPLIED_ROOT, LAYER_TREE, readImpliedDirectories } from '../../archive/layer-files.ts'
import { errorCode } from '../../errors/errors.ts'
import { syncfs } from '../sys/libc.ts'

export interface SealLayersInput {
  /** Directories of the layers of one image, bottom first. */
  readonly layers: readonly string[]
  /** A directory of the file system that holds them. */
  readonly root: string
}

/**
 * Makes a stack of layers fit to be used: directories that a layer has no entry for, but files in, get owner and mode of
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
  const implied = [...(existsSync(join(layer, IMPLIED_ROOT)) ? [Buffer.from('.')] : []), ...readImpliedDirectories(layer)]
  for (const path of implied) {
    const inLayer = (directory: string) => Buffer.concat([Buffer.from(join(directory, LAYER_TREE, '/')), path])
    const original = below.map((lower) => directoryAt(inLayer(lower))).find((stats) => stats !== undefined)
    if (original === undefined) continue
    const copy = inLayer(layer)
    lchownSync(copy, original.uid, original.gid)
    // After chown, which takes the set-id bits away.
    chmodSync(copy, original.mode & 0o7777)
  }
}

function directoryAt(path: Buffer): Stats | undefined {
  try {
    const stats = lstatSync(path)
    return stats.isDirectory() ? stats : undefined
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
