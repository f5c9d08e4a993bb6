import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { listImageNames } from '../state/image-name-table.ts'
import { listImagesOfLayer } from '../state/image-table.ts'
import { getLayer } from '../state/layer-table.ts'
import { foreignById } from './additional-images.ts'
import { ownStack } from './stack.ts'

/** A layer of an image, and who else has it. @public */
export interface ImageTreeLayer {
  readonly diffId: Digest
  /** Uncompressed. */
  readonly sizeBytes: number
  /** What it takes on disk, once for all images that have it. */
  readonly usageBytes: number
  /** Other images that have the layer, by their names, or by id where they have none. */
  readonly sharedWith: readonly string[]
}

/** The layers of an image, bottom first. @throws ERR_IMAGE_NOT_FOUND */
export function imageTree(context: Context, id: string): ImageTreeLayer[] {
  const { db } = context
  const foreign = foreignById(context, id)
  // What the layers take on disk there is not known.
  if (foreign) return foreign.layers.map(({ diffId, size }) => ({ diffId, sizeBytes: size, usageBytes: 0, sharedWith: [] }))
  return db.read(() =>
    ownStack(context, id).map((diffId) => {
      const layer = getLayer(db, diffId)
      const others = listImagesOfLayer(db, diffId).filter((other) => other !== id)
      const sharedWith = others.flatMap((other) => {
        const names = listImageNames(db, other).map(({ name }) => name)
        return names.length > 0 ? names : [other]
      })
      return { diffId, sizeBytes: layer?.size ?? 0, usageBytes: layer?.usageBytes ?? 0, sharedWith: [...new Set(sharedWith)].sort() }
    }),
  )
}
