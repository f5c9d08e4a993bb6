import { PodlibError } from '../errors/errors.ts'

/**
 * The marker files by which a layer removes what lower layers have.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
 */
const WHITEOUT_PREFIX = '.wh.'
const AUFS_PREFIX = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'

/** What the last component of an entry's name means. `ignored` is bookkeeping of AUFS. */
export type WhiteoutRule =
  | { readonly kind: 'ordinary' }
  | { readonly kind: 'whiteout'; readonly hides: string }
  | { readonly kind: 'opaque' }
  | { readonly kind: 'ignored' }

const ORDINARY: WhiteoutRule = { kind: 'ordinary' }
const IGNORED: WhiteoutRule = { kind: 'ignored' }

/**
 * Reads the marker out of an entry's name, given as components (byte strings as Latin-1).
 *
 * @throws ERR_LAYER_INVALID for a marker that hides nothing, or a directory of the layer or its parent
 */
export function whiteoutRule(components: readonly string[]): WhiteoutRule {
  const last = components.length - 1
  for (const [index, component] of components.entries()) {
    if (!component.startsWith(WHITEOUT_PREFIX)) continue
    if (component === OPAQUE && index === last) return { kind: 'opaque' }
    if (component.startsWith(AUFS_PREFIX)) return IGNORED
    if (index !== last) throw new PodlibError('ERR_LAYER_INVALID', 'a whiteout cannot be a directory')
    const hides = component.slice(WHITEOUT_PREFIX.length)
    if (hides === '' || hides === '.' || hides === '..') throw new PodlibError('ERR_LAYER_INVALID', 'a whiteout hides no usable name')
    return { kind: 'whiteout', hides }
  }
  return ORDINARY
}

/** The name of the marker that hides `name`. */
export function whiteoutName(name: string): string {
  return WHITEOUT_PREFIX + name
}

/** The name of the marker inside a directory that hides all that lower layers have in it. */
export const OPAQUE_MARKER = OPAQUE
