import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import type { ImageConfig, ImageHistoryEntry } from '../spec/image.ts'
import { getImage, listImageLayers } from '../state/image-table.ts'
import { getLayer } from '../state/layer-table.ts'
import { foreignById } from './additional-images.ts'
import { parseImageConfig } from './select-manifest.ts'

/** A step of an image's build. @public */
export interface ImageHistoryStep {
  readonly createdAt: Date | undefined
  /** The command, as the build tool wrote it. */
  readonly createdBy: string | undefined
  readonly author: string | undefined
  readonly comment: string | undefined
  /** Diff ID of the layer that the step made; undefined when it changed no file. */
  readonly layer: Digest | undefined
  /** Uncompressed; 0 without a layer. */
  readonly sizeBytes: number
}

/** The steps of an image's build, oldest first. An image may tell fewer steps than it has layers. @throws ERR_IMAGE_NOT_FOUND */
export function imageHistory(context: Context, id: string): ImageHistoryStep[] {
  const { db } = context
  return db.read(() => {
    const foreign = foreignById(context, id)
    if (foreign) return stepsOf(foreign.config, foreign.layers)
    const row = getImage(db, id)
    if (row === undefined) throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
    const layers = listImageLayers(db, id).map(({ diffId }) => ({ diffId, size: getLayer(db, diffId)?.size ?? 0 }))
    return stepsOf(parseImageConfig(row.config), layers)
  })
}

interface MadeLayer {
  readonly diffId: Digest
  readonly size: number
}

function stepsOf({ history = [] }: ImageConfig, layers: readonly MadeLayer[]): ImageHistoryStep[] {
  const left = [...layers]
  const steps = history.map((entry) => step(entry, entry.empty_layer ? undefined : left.shift()))
  return [...steps, ...left.map((layer) => step({}, layer))]
}

function step(entry: ImageHistoryEntry, made: MadeLayer | undefined): ImageHistoryStep {
  const time = Date.parse(entry.created ?? '')
  return {
    createdAt: Number.isNaN(time) ? undefined : new Date(time),
    createdBy: entry.created_by,
    author: entry.author,
    comment: entry.comment,
    layer: made?.diffId,
    sizeBytes: made?.size ?? 0,
  }
}
