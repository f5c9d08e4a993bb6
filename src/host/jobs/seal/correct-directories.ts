import { lstatSync, mkdirSync } from 'node:fs'
import { LAYER_TREE } from '../../../archive/layer-files.ts'
import { adoptAttributes } from '../../adopt-attributes.ts'
import { llistxattr } from '../../sys/libc.ts'
import { LookedAtLayer, pathIn, pathsTo } from './layer-stack.ts'

/**
 * Makes a layer at `directory` that has those directories of a stack, with the attributes that they should have, whose
 * uppermost layer has no entry for them.
 *
 * @param layers - directories of layers, bottom first
 * @returns whether there are any; if not, nothing was made
 */
export function correctDirectories(layers: readonly string[], directory: string): boolean {
  const stack = [...layers].reverse().map((layer) => new LookedAtLayer(layer))
  const corrections = new Map<string, Buffer>()
  for (const [position, layer] of stack.entries()) {
    for (const path of layer.implied) {
      const original = originalOf(path, stack, position)
      if (original !== undefined) corrections.set(path, original)
    }
  }
  const rootPosition = stack.findIndex(({ hasRoot }) => hasRoot)
  const root = stack[rootPosition]?.tree
  if (corrections.size === 0 && (root === undefined || rootPosition === 0 || isOrdinary(root))) return false
  // Whatever leads to a directory is there too, and shows as much.
  for (const path of [...corrections.keys()].flatMap(pathsTo)) {
    const shown = corrections.has(path) ? undefined : uppermost(path, stack)
    if (shown !== undefined) corrections.set(path, shown)
  }
  write(`${directory}/${LAYER_TREE}`, corrections, root)
  return true
}

/** The directory below a layer's implied one that says what it should be like, if overlay shows and merges both. */
function originalOf(path: string, stack: readonly LookedAtLayer[], position: number): Buffer | undefined {
  // A layer above that has it too decides, and one that hides it leaves nothing to correct.
  if (stack.slice(0, position).some((above) => above.find(path) !== 'nothing')) return undefined
  for (const layer of stack.slice(position)) {
    const found = layer.find(path)
    if (found === 'hidden') return undefined
    if (found === 'nothing') continue
    if (!found.isImplied) return found.directory
    if (found.parentIsOpaque) return undefined
  }
  return undefined
}

function uppermost(path: string, stack: readonly LookedAtLayer[]): Buffer | undefined {
  for (const layer of stack) {
    const found = layer.find(path)
    if (typeof found === 'object') return found.directory
  }
  return undefined
}

/** As a root that no layer has an entry for: not worth a layer. */
function isOrdinary(path: string): boolean {
  const { uid, gid, mode } = lstatSync(path)
  return uid === 0 && gid === 0 && (mode & 0o7777) === 0o755 && llistxattr(path).every((name) => name.includes('.overlay.'))
}

function write(tree: string, directories: ReadonlyMap<string, Buffer>, root: string | undefined): void {
  mkdirSync(tree, { recursive: true, mode: 0o755 })
  const parentsFirst = [...directories].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [path] of parentsFirst) mkdirSync(pathIn(tree, path), { mode: 0o755 })
  // Making a child changes the times of its parent.
  for (const [path, original] of parentsFirst.reverse()) adoptAttributes(pathIn(tree, path), original)
  if (root !== undefined) adoptAttributes(tree, root)
}
