import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { errorCode } from '../errors/errors.ts'

/** Names of the parts of an unpacked layer's directory. */
export const LAYER_TREE = 'fs'
export const LAYER_REASSEMBLY = 'reassembly.zst'
/** Content that a later entry of the same layer replaced, by the number of its record in the side file. */
export const LAYER_REPLACED = 'replaced'
/** Paths of directories that the layer has entries in but none for, each ended by NUL. Absent when there are none. */
const LAYER_IMPLIED = 'implied-directories'
/** Stands for an entry of the root itself that the layer does not have. Empty. */
export const IMPLIED_ROOT = 'implied-root'
/** The layer hides everything below it. Empty; overlay does not heed the mark on a root itself. */
export const OPAQUE_ROOT = 'opaque-root'

/** `paths` are relative and Latin-1: any bytes, one character a byte. */
export function writeImpliedDirectories(directory: string, paths: readonly string[]): void {
  if (paths.length === 0) return
  const list = Buffer.from(
    [...paths]
      .sort()
      .map((path) => `${path}\0`)
      .join(''),
    'latin1',
  )
  writeFileSync(`${directory}/${LAYER_IMPLIED}`, list, { flag: 'wx', mode: 0o600 })
}

/**
 * The directories of an unpacked layer whose owner, mode, times and attributes are not the layer's: a
 * merged view must take them from the next layer below that has the directory. Sorted, parents first.
 */
export function readImpliedDirectories(directory: string): Buffer[] {
  let list: string
  try {
    list = readFileSync(`${directory}/${LAYER_IMPLIED}`, 'latin1')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
  return list
    .split('\0')
    .slice(0, -1)
    .map((path) => Buffer.from(path, 'latin1'))
}

export function hasImpliedRoot(directory: string): boolean {
  return existsSync(`${directory}/${IMPLIED_ROOT}`)
}

/** Whether {@link readImpliedDirectories} would find any. */
export function hasImpliedDirectories(directory: string): boolean {
  return existsSync(`${directory}/${LAYER_IMPLIED}`)
}
