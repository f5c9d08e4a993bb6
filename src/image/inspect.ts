import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { chainId, type Digest } from '../spec/digest.ts'
import type { ImageConfig } from '../spec/image.ts'
import { listImageNames } from '../state/image-name-table.ts'
import { getImage, type ImageRow, listImageLayers, listImageManifests, listImages as listRows } from '../state/image-table.ts'
import { getLayer } from '../state/layer-table.ts'
import { parseImageConfig } from './select-manifest.ts'

/** A line of a listing. @public */
export interface ImageSummary {
  /** Hexadecimal part of the config's digest. */
  readonly id: string
  /** Full names with tag. */
  readonly names: readonly string[]
  /** `linux/amd64`. */
  readonly platform: string
  /** When it was built, if its config says. */
  readonly createdAt: Date | undefined
  /** When it came into this store. */
  readonly storedAt: Date
  /** Uncompressed layers together. */
  readonly sizeBytes: number
  readonly labels: Readonly<Record<string, string>>
}

/** Everything known about an image. @public */
export interface ImageInfo extends ImageSummary {
  /** The config as the image has it. */
  readonly config: ImageConfig
  /** Bottom first. */
  readonly layers: readonly {
    readonly diffId: Digest
    readonly blobDigest: Digest
    readonly blobSizeBytes: number
    readonly mediaType: string
    /** Uncompressed. */
    readonly sizeBytes: number
  }[]
  /** Names the whole stack of layers. */
  readonly chainId: Digest | undefined
  /** Manifests that led to it: its digests in registries, `name@digest`. */
  readonly digests: readonly string[]
  readonly manifests: readonly { readonly digest: Digest; readonly mediaType: string; readonly indexDigest: Digest | null }[]
}

/** Every image, the longest stored first. One query. */
export function listImages(context: Context): ImageSummary[] {
  return listRows(context.db).map(({ labelsJson, names, ...row }) => ({
    ...summary(row),
    names,
    labels: JSON.parse(labelsJson) as Record<string, string>,
  }))
}

/** @throws ERR_IMAGE_NOT_FOUND */
export function inspectImage(context: Context, id: string): ImageInfo {
  return context.db.read(() => {
    const row = getImage(context.db, id)
    if (row === undefined) throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
    const config = parseImageConfig(row.config)
    const names = listImageNames(context.db, id)
    return {
      ...summary(row),
      names: names.map(({ name }) => name),
      labels: row.labels,
      config,
      layers: listImageLayers(context.db, id).map(({ diffId, blobDigest, blobSize, mediaType }) => ({
        diffId,
        blobDigest,
        blobSizeBytes: blobSize,
        mediaType,
        sizeBytes: getLayer(context.db, diffId)?.size ?? 0,
      })),
      chainId: config.rootfs.diff_ids.length > 0 ? chainId(config.rootfs.diff_ids) : undefined,
      digests: [...new Set(names.map(({ name, manifestDigest }) => `${withoutTag(name)}@${manifestDigest}`))],
      manifests: listImageManifests(context.db, id).map(({ digest, mediaType, indexDigest }) => ({ digest, mediaType, indexDigest })),
    }
  })
}

function summary(row: Omit<ImageRow, 'config' | 'labels'>) {
  const { id, os, architecture, variant, createdAt, storedAt, size } = row
  const platform = [os, architecture, ...(variant ? [variant] : [])].join('/')
  return { id, platform, createdAt: createdAt === null ? undefined : new Date(createdAt), storedAt: new Date(storedAt), sizeBytes: size }
}

function withoutTag(name: string): string {
  const at = name.indexOf('@')
  if (at >= 0) return name.slice(0, at)
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name
}
