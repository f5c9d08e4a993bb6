import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { isDigest } from '../spec/digest.ts'
import { normalizePlatform } from '../spec/platform.ts'
import { getImage, type ImageRow } from '../state/image-table.ts'
import type { ForeignImage } from '../storage/additional/containers-store.ts'
import { ambiguous, matchName } from './match-name.ts'
import { buildTime } from './store-image.ts'

/** An image of another program's store, with the name it was asked for by. */
export interface FoundForeignImage {
  readonly image: ForeignImage
  readonly name: string
  readonly named: boolean
}

/** The images of the additional stores, in the order of the stores. */
export function foreignImages({ imageStores }: Pick<Context, 'imageStores'>): ForeignImage[] {
  return imageStores.additional.flatMap((store) => store.images())
}

/** Finds one by full name, short name, digest, id or the beginning of an id; the first store wins. @throws ERR_IMAGE_AMBIGUOUS */
export function findForeignImage(images: readonly ForeignImage[], text: string): FoundForeignImage | undefined {
  for (const name of matchName(text, () => new Set(images.flatMap(({ names }) => names)))) {
    const image = images.find(({ names }) => names.includes(name))
    if (image) return { image, name, named: true }
  }
  const matching = images.filter((image) => isMeant(image, text.slice(text.indexOf('@') + 1)))
  const ids = new Set(matching.map(({ id }) => id))
  if (ids.size > 1)
    throw ambiguous(
      text,
      [...ids].map((id) => id.slice(0, 12)),
    )
  const [image] = matching
  return image && { image, name: image.names[0] ?? image.id, named: false }
}

function isMeant({ id, manifest }: ForeignImage, text: string): boolean {
  if (isDigest(text)) return manifest.digest === text || id === text.slice('sha256:'.length)
  return /^[0-9a-f]{3,64}$/.test(text) && id.startsWith(text)
}

/** The image with this id, unless this store has it too. */
export function foreignById(context: Context, id: string): ForeignImage | undefined {
  if (context.imageStores.additional.length === 0 || getImage(context.db, id) !== undefined) return undefined
  return foreignImages(context).find((image) => image.id === id)
}

/** As if it were of this store. */
export function foreignRow({ id, config, configBytes, layers, storedAt }: ForeignImage): ImageRow {
  const { os, architecture, variant = '' } = normalizePlatform(config)
  const size = layers.reduce((sum, layer) => sum + layer.size, 0)
  const labels = config.config?.Labels ?? {}
  return { id, createdAt: buildTime(config), storedAt, os, architecture, variant, size, labels, config: configBytes }
}

/** Its layers as they lie, bottom first. @throws ERR_STORE_UNSUPPORTED, ERR_STORE_CORRUPT, ERR_LAYER_NOT_FOUND */
export function foreignTrees({ imageStores }: Context, image: ForeignImage): readonly `/${string}`[] {
  return imageStores.additional.find(({ root }) => root === image.store)?.trees(image) ?? []
}

/** Refuses to change or write out an image that lies in an additional store. @throws ERR_IMAGE_READ_ONLY */
export function assertOwnImage(context: Context, id: string): void {
  const foreign = foreignById(context, id)
  if (foreign === undefined) return
  const place = `containers-storage:[${foreign.store}]${foreign.names[0] ?? `@${id}`}`
  const text = `image ${foreign.names[0] ?? id.slice(0, 12)} is in the additional image store ${foreign.store}, which is only read: pull a copy with '${place}'`
  throw new PodlibError('ERR_IMAGE_READ_ONLY', text, { details: { id, store: foreign.store } })
}
