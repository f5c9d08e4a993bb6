import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { getImage, listImageLayers } from '../state/image-table.ts'
import type { LayerReference } from '../storage/storage-driver.ts'
import { foreignById, foreignTrees } from './additional-images.ts'

/** The layers of an image as storage takes them, bottom first. @throws ERR_IMAGE_NOT_FOUND when it was removed */
export function imageStack(context: Context, id: string): readonly LayerReference[] {
  const foreign = foreignById(context, id)
  return foreign ? foreignTrees(context, foreign) : ownStack(context, id)
}

/** Those of an image of the own store. */
export function ownStack({ db }: Context, id: string): Digest[] {
  if (getImage(db, id) === undefined)
    throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
  return listImageLayers(db, id).map(({ diffId }) => diffId)
}
