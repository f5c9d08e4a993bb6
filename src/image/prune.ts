import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { listImageNames } from '../state/image-name-table.ts'
import { deleteImage, getImage, listImageLayers } from '../state/image-table.ts'
import { listUnusedLayers } from '../state/layer-table.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { filterImages, type ImageFilter } from './filter-images.ts'
import { listImages } from './inspect.ts'
import { assertNotMounted } from './mount.ts'
import { removeUnusedLayers } from './remove.ts'

/** @public */
export interface PruneImagesOptions extends Omit<ImageFilter, 'dangling' | 'inUse'> {
  /** Also images that have names, if no container was made from them. @defaultValue false: only those without a name */
  readonly all?: boolean
  readonly signal?: AbortSignal
}

/** @public */
export interface PrunedImages {
  readonly removed: readonly { readonly id: string; readonly names: readonly string[] }[]
  /** What layers took on disk that are gone now. */
  readonly reclaimedBytes: number
}

const PRUNE_OPTIONS: OptionNames<PruneImagesOptions> = { reference: true, labels: true, before: true, since: true, all: true, signal: true }

/** Layers of a pull that failed are kept this long for its next attempt. */
const KEEP_LAYERS_MS = 60 * 60_000

/**
 * Removes images that no container was made from and that are not mounted, and layers that nothing needs. An abort leaves
 * what is not removed yet.
 */
export async function pruneImages(context: Context, options: PruneImagesOptions = {}): Promise<PrunedImages> {
  checkOptions('images.prune', options, PRUNE_OPTIONS)
  const { all = false, signal, ...filter } = options
  const doomed = filterImages(context, listImages(context), { ...filter, inUse: false, ...(!all && { dangling: true }) })
  const removed: { id: string; names: readonly string[] }[] = []
  let reclaimedBytes = 0
  for (const { id } of doomed) {
    signal?.throwIfAborted()
    const plan = await removeUnless(context, id, all)
    if (plan === undefined) continue
    reclaimedBytes += await removeUnusedLayers(context, new Set(plan.layers), signal)
    removed.push({ id, names: plan.names })
  }
  const stale = listUnusedLayers(context.db).filter(({ lastUsedAt }) => lastUsedAt < Date.now() - KEEP_LAYERS_MS)
  if (stale.length > 0) reclaimedBytes += await removeUnusedLayers(context, new Set(stale.map(({ diffId }) => diffId)), signal)
  return { removed, reclaimedBytes }
}

/** Looks again, in the transaction that removes it: meanwhile it may have got a name or a container. */
async function removeUnless(context: Context, id: string, all: boolean): Promise<{ names: string[]; layers: Digest[] } | undefined> {
  const { db } = context
  try {
    return await db.transaction(
      () => {
        const names = [...new Set(listImageNames(db, id).map(({ name }) => name))]
        if ((!all && names.length > 0) || getImage(db, id) === undefined) return undefined
        assertNotMounted(context, id)
        const layers = listImageLayers(db, id).map(({ diffId }) => diffId)
        deleteImage(db, id)
        context.events.record({ type: 'image', action: 'prune', id, name: names[0] ?? id, attributes: {} })
        return { names, layers }
      },
      { durable: true },
    )
  } catch (error) {
    if (isPodlibError(error, 'ERR_IMAGE_IN_USE')) return undefined
    throw error
  }
}
