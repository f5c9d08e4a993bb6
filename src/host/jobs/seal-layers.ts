import { mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorCode } from '../../errors/errors.ts'
import { removeTree } from './remove-tree.ts'
import { correctDirectories } from './seal/correct-directories.ts'

export interface SealLayersInput {
  /** Directories of the layers of one image, bottom first. */
  readonly layers: readonly string[]
  /** Where a layer goes that corrects the others, should they need it; made at `staged`. What is there already stays. */
  readonly corrections: { readonly staged: string; readonly target: string }
}

/**
 * Makes a stack of layers fit to be used. Directories that a layer has no entry for, but files in, would hide owner, mode,
 * times and attributes of the same directory below: a layer for the top of this stack has them right. The layers
 * themselves, which other images share, stay as they are.
 *
 * @returns whether that layer was needed
 */
export function sealLayers({ layers, corrections }: SealLayersInput): boolean {
  const { staged, target } = corrections
  const isNeeded = correctDirectories(layers, staged)
  if (isNeeded) publish(staged, target)
  return isNeeded
}

function publish(staged: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  try {
    renameSync(staged, target)
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) throw error
    removeTree({ paths: [staged] })
  }
}
