import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { chainId, type Digest } from '../spec/digest.ts'
import type { ImageConfig } from '../spec/image.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { listImageNames } from '../state/image-name-table.ts'
import { getImage, type ImageRow, listImageLayers, listImageManifests, listImages as listRows } from '../state/image-table.ts'
import { getLayer } from '../state/layer-table.ts'
import type { ForeignImage } from '../storage/additional/containers-store.ts'
import { foreignById, foreignImages, foreignRow } from './additional-images.ts'
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
  /** Root of the additional image store that it is in: it cannot be changed or removed then. Undefined for the own store. */
  readonly store: string | undefined
  readonly readOnly: boolean
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

const OWN = { store: undefined, readOnly: false } as const

/** Every image of the own store, the longest stored first. One query. */
export function listImages(context: Context): ImageSummary[] {
  return listRows(context.db).map(({ labelsJson, names, ...row }) => ({
    ...summary(row),
    names,
    labels: JSON.parse(labelsJson) as Record<string, string>,
    ...OWN,
  }))
}

/** The images of the additional stores. */
export function listForeignImages(context: Context): ImageSummary[] {
  return foreignImages(context).map(foreignSummary)
}

function foreignSummary(image: ForeignImage): ImageSummary {
  const { config: _, labels, ...row } = foreignRow(image)
  return { ...summary(row), names: image.names, labels, store: image.store, readOnly: true }
}

function foreignInfo(image: ForeignImage): ImageInfo {
  const { config, layers, manifest, names } = image
  return {
    ...foreignSummary(image),
    config,
    layers: layers.map(({ diffId, size }) => ({
      diffId,
      blobDigest: diffId,
      blobSizeBytes: size,
      mediaType: MEDIA_TYPES.ociLayer,
      sizeBytes: size,
    })),
    chainId: layers.length > 0 ? chainId(config.rootfs.diff_ids) : undefined,
    digests: [...new Set(names.map((name) => `${withoutTag(name)}@${manifest.digest}`))],
    manifests: [{ ...manifest, indexDigest: null }],
  }
}

/** @throws ERR_IMAGE_NOT_FOUND */
export function inspectImage(context: Context, id: string): ImageInfo {
  return context.db.read(() => {
    const row = getImage(context.db, id)
    const foreign = row === undefined ? foreignById(context, id) : undefined
    if (foreign) return foreignInfo(foreign)
    if (row === undefined) throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
    const config = parseImageConfig(row.config)
    const names = listImageNames(context.db, id)
    return {
      ...summary(row),
      names: names.map(({ name }) => name),
      labels: row.labels,
      ...OWN,
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
