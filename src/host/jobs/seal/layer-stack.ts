import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { hasImpliedRoot, LAYER_TREE, OPAQUE_ROOT, readImpliedDirectories } from '../../../archive/layer-files.ts'
import { lgetxattr } from '../../sys/libc.ts'

/** What a layer has at a path: a directory, nothing, or something by which overlay looks no further down. */
type Found = { readonly directory: Buffer; readonly isImplied: boolean; readonly parentIsOpaque: boolean } | 'nothing' | 'hidden'

/** One layer on disk, as overlay looks at it. Paths are Latin-1, as any bytes. */
export class LookedAtLayer {
  readonly tree: string
  readonly implied: ReadonlySet<string>
  readonly hasRoot: boolean
  readonly isOpaque: boolean

  constructor(directory: string) {
    this.tree = join(directory, LAYER_TREE)
    this.implied = new Set(readImpliedDirectories(directory).map((path) => path.toString('latin1')))
    this.hasRoot = !hasImpliedRoot(directory)
    this.isOpaque = existsSync(join(directory, OPAQUE_ROOT))
  }

  /**
   * Looks a directory up through directories only: a symbolic link on the way would lead out of the layer, and is nothing
   * that a directory is merged with.
   */
  find(path: string): Found {
    let parentIsOpaque = this.isOpaque
    const paths = pathsTo(path)
    for (const [index, name] of paths.entries()) {
      const at = pathIn(this.tree, name)
      const stats = lstatSync(at, { throwIfNoEntry: false })
      if (stats === undefined) return parentIsOpaque ? 'hidden' : 'nothing'
      if (!stats.isDirectory()) return 'hidden'
      if (index === paths.length - 1) return { directory: at, isImplied: this.implied.has(path), parentIsOpaque }
      parentIsOpaque ||= isOpaque(at)
    }
    return 'nothing'
  }
}

/** Every directory on the way to a path, itself last. */
export function pathsTo(path: string): string[] {
  const names = path.split('/')
  return names.map((_, index) => names.slice(0, index + 1).join('/'))
}

export function pathIn(tree: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${tree}/`), Buffer.from(path, 'latin1')])
}

function isOpaque(path: Buffer): boolean {
  return ['trusted', 'user'].some((prefix) => lgetxattr(path, `${prefix}.overlay.opaque`)?.toString() === 'y')
}
