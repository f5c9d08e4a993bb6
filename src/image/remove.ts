import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { withLayer } from '../lifecycle/with-layer.ts'
import type { Digest } from '../spec/digest.ts'
import { deleteImageName, listImageNames } from '../state/image-name-table.ts'
import { deleteImage, listImageLayers } from '../state/image-table.ts'
import { deleteLayer, getLayer, listUnusedLayers, updateLayer } from '../state/layer-table.ts'
import { crashPoint } from '../util/crash-point.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { assertOwnImage } from './additional-images.ts'
import { assertNotMounted, unmountImage } from './mount.ts'

/** @public */
export interface RemoveImageOptions {
  /** Remove it although it has several names, or is mounted: it is unmounted then. @defaultValue false */
  readonly force?: boolean
  /** Gives up waiting for somebody who is at the same layers: the image is removed then, and layers that are left go with a later prune. */
  readonly signal?: AbortSignal
}

const REMOVE_OPTIONS: OptionNames<RemoveImageOptions> = { force: true, signal: true }

/** @public */
export interface RemovedImage {
  /** Names that were taken away. */
  readonly untagged: readonly string[]
  /** Whether the image itself went, and not only a name of it. */
  readonly removed: boolean
}

/**
 * Removes an image and the layers that no other image has. Asked for by one of several names it loses that name only,
 * unless `force` is given, and one that is mounted stays too. One that a container uses is never removed.
 *
 * @throws ERR_IMAGE_IN_USE, ERR_IMAGE_NOT_FOUND, ERR_IMAGE_READ_ONLY
 */
export async function removeImage(
  context: Context,
  id: string,
  name: string | undefined,
  options: RemoveImageOptions = {},
): Promise<RemovedImage> {
  checkOptions('images.remove', options, REMOVE_OPTIONS)
  const { db } = context
  options.signal?.throwIfAborted()
  assertOwnImage(context, id)
  if (options.force) await unmountImage(context, id)
  const plan = await db.transaction(
    () => {
      const names = [...new Set(listImageNames(db, id).map((row) => row.name))]
      if (!options.force && names.length > 1) {
        if (name === undefined || !names.includes(name)) throw severalNames(id, names)
        deleteImageName(db, name, id)
        context.events.record({ type: 'image', action: 'untag', id, name, attributes: { reference: name } })
        return { untagged: [name], layers: undefined }
      }
      const layers = listImageLayers(db, id).map((layer) => layer.diffId)
      assertNotMounted(context, id)
      deleteImage(db, id)
      context.events.record({ type: 'image', action: 'remove', id, name: names[0] ?? id, attributes: {} })
      return { untagged: names, layers }
    },
    { durable: true },
  )
  crashPoint('remove image: written')
  if (plan.layers === undefined) return { untagged: plan.untagged, removed: false }
  await removeUnusedLayers(context, new Set(plan.layers), options.signal)
  return { untagged: plan.untagged, removed: true }
}

/**
 * Deletes those of the layers that no image holds: first the row says so, then the files go, then the row.
 *
 * @returns what they took on disk
 */
export async function removeUnusedLayers(context: Context, candidates: ReadonlySet<Digest>, signal?: AbortSignal): Promise<number> {
  let freed = 0
  const storage = await context.storage()
  const unused = listUnusedLayers(context.db).filter(({ diffId }) => candidates.has(diffId))
  for (const { diffId, usageBytes } of unused) {
    const remove = async () => {
      if (!(await markDeleting(context, diffId))) return
      crashPoint('remove image: layer marked')
      await storage.removeLayer(diffId)
      crashPoint('remove image: layer removed')
      await context.db.transaction(() => deleteLayer(context.db, diffId))
      freed += usageBytes
    }
    await withLayer(context, diffId, remove, signal)
  }
  return freed
}

/** Under the layer's lock no pull can begin to rely on it, so what is unused in this transaction stays unused. */
function markDeleting(context: Context, diffId: Digest): Promise<boolean> {
  const { db } = context
  return db.transaction(() => {
    const unused = listUnusedLayers(db).some((layer) => layer.diffId === diffId)
    if (unused && getLayer(db, diffId)) updateLayer(db, diffId, { state: 'deleting' })
    return unused
  })
}

function severalNames(id: string, names: readonly string[]): PodlibError {
  return new PodlibError('ERR_IMAGE_IN_USE', `image ${id.slice(0, 12)} has several names (${names.join(', ')}); name one, or use force`, {
    details: { id, names },
  })
}
