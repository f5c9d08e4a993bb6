import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { deleteImage, hasLostLayers, listContainersOfImage, listImagesWithLayers } from '../state/image-table.ts'
import { listLayers, updateLayer } from '../state/layer-table.ts'
import type { Context } from './context.ts'

/*
 * What a power cut or a disk has taken. A layer that is lost is in state `deleting`; images are whole or not there, but for
 * those that containers need.
 */

/**
 * Passes an error on. When it tells that the disk has refused what was written, nobody knows of what, everything is forgotten
 * before that was not known to be there: it would be whole only as long as the memory has it, and the next sync would not tell.
 */
export async function forgetRefused(context: Context, error: unknown): Promise<never> {
  if (isPodlibError(error, 'ERR_SYNC_FAILED')) {
    // Where the database cannot be written either, its rows do not say that the layers are on the disk.
    await context.db.transaction(() => forgetUnflushed(context)).catch(() => {})
  }
  throw error
}

/** In a transaction: layers that are not known to be on the disk are lost, and so are their images. */
export function forgetUnflushed(context: Context): void {
  for (const { diffId } of listLayers(context.db, 'staging')) updateLayer(context.db, diffId, { state: 'deleting' })
  forgetLostImages(context)
}

/** In a transaction: images that have lost layers go. */
export function forgetLostImages({ db, events }: Context): void {
  for (const { id, name } of listImagesWithLayers(db, 'deleting')) {
    // A container's image keeps its row: pulled again it is whole.
    if (listContainersOfImage(db, id).length > 0) continue
    deleteImage(db, id)
    events.record({ type: 'image', action: 'remove', id, name, attributes: {} })
  }
}

/** Before anything is made of an image. @throws ERR_LAYER_NOT_FOUND */
export function assertWhole({ db }: Context, imageId: string): void {
  if (!hasLostLayers(db, imageId)) return
  const text = `image ${imageId.slice(0, 12)} has lost layers that were not on the disk yet: pull the image again, and it is whole`
  throw new PodlibError('ERR_LAYER_NOT_FOUND', text, { details: { imageId } })
}
