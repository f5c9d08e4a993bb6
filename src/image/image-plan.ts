import { PodlibError } from '../errors/errors.ts'
import type { ImageManifest, RawManifest } from '../spec/descriptor.ts'
import { type Digest, digestOf } from '../spec/digest.ts'
import type { ImageConfig } from '../spec/image.ts'
import { assertLayerCount } from '../spec/manifest.ts'
import { type SchemaOneManifest, schemaOneConfig } from '../spec/manifest-v1.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import type { Platform } from '../spec/platform.ts'
import {
  type BlobContent,
  type ConfigSource,
  type ImageSource,
  MAX_DOCUMENT_BYTES,
  type ManifestSource,
} from '../transport/image-source.ts'
import { assertPlatform, parseImageConfig, type SelectedManifest, selectManifest } from './select-manifest.ts'

/** A layer before it is in the store: where it comes from, and what it must prove to be. */
export interface PlannedLayer {
  /** Undefined where nobody says it: then unpacking tells. */
  readonly diffId: Digest | undefined
  /** Undefined where only the diff ID is known. */
  readonly blob: { readonly digest: Digest; readonly size: number | undefined; readonly mediaType: string } | undefined
  /** Bytes that will be read, for progress, if known. */
  readonly size: number
  readonly content: (signal: AbortSignal) => Promise<BlobContent>
}

/** A layer that is in the store. */
export interface StoredLayer {
  readonly diffId: Digest
  /** Of the uncompressed tar. */
  readonly size: number
  /** What it came as; undefined when it was there already. */
  readonly blob: { readonly digest: Digest; readonly size: number } | undefined
}

/** A layer of an image with the blob that stands for it in its manifest. */
export interface ImageLayer {
  readonly diffId: Digest
  readonly blobDigest: Digest
  readonly blobSize: number
  readonly mediaType: string
}

/** Everything of an image but the content of its layers. */
export interface CompleteImage {
  readonly raw: RawManifest
  readonly index: RawManifest | undefined
  readonly config: ImageConfig
  readonly configBytes: Buffer
  readonly configDigest: Digest
  readonly layers: readonly ImageLayer[]
}

export interface ImagePlan {
  /** Digest of the config, where it is known before the layers are. */
  readonly configDigest: Digest | undefined
  readonly layers: readonly PlannedLayer[]
  /** Called with the stored layers in the order of {@link layers}. */
  complete(stored: readonly StoredLayer[]): CompleteImage
}

/** What the policy is asked about, and how it goes on once that has allowed it. */
export interface DescribedImage {
  readonly manifestDigest: Digest
  readonly indexDigest: Digest | undefined
  plan(signal: AbortSignal | undefined): Promise<ImagePlan>
}

/** Finds out what a source leads to on a platform. Reads manifests only: config and layers are for after the policy. */
export async function describeImage(source: ImageSource, platform: Platform, signal: AbortSignal | undefined): Promise<DescribedImage> {
  if (source.form === 'config') return describeConfig(source, platform, await source.config(signal))
  const selected = await selectManifest(source, platform, signal)
  return {
    manifestDigest: selected.raw.digest,
    indexDigest: selected.index?.digest,
    async plan(planSignal) {
      const { manifest } = selected
      return 'config' in manifest
        ? planManifest(source, { ...selected, manifest }, platform, planSignal)
        : planSchemaOne(source, { ...selected, manifest }, platform)
    },
  }
}

type Selected<Manifest> = Omit<SelectedManifest, 'manifest'> & { readonly manifest: Manifest }

async function planManifest(
  source: ManifestSource,
  { raw, manifest, index }: Selected<ImageManifest>,
  platform: Platform,
  signal: AbortSignal | undefined,
): Promise<ImagePlan> {
  // Small, and checked before any layer: a foreign platform is found out here and not after a gigabyte.
  const configBytes = await source.blobBytes(manifest.config, { maxBytes: MAX_DOCUMENT_BYTES, signal })
  const config = parseImageConfig(configBytes)
  assertLayerCount(manifest, config)
  assertPlatform(config, platform)
  const diffIds = config.rootfs.diff_ids
  const layers = manifest.layers.map((blob, position) => ({
    diffId: diffIds[position],
    blob,
    size: blob.size,
    content: (contentSignal: AbortSignal) => source.blob(blob, contentSignal),
  }))
  const complete = () => ({
    raw,
    index,
    config,
    configBytes,
    configDigest: manifest.config.digest,
    layers: manifest.layers.map((blob, position) => ({
      diffId: diffIds[position] as Digest,
      blobDigest: blob.digest,
      blobSize: blob.size,
      mediaType: blob.mediaType,
    })),
  })
  return { configDigest: manifest.config.digest, layers, complete }
}

function planSchemaOne(source: ManifestSource, { raw, manifest, index }: Selected<SchemaOneManifest>, platform: Platform): ImagePlan {
  assertPlatform(manifest, platform)
  const mediaType = MEDIA_TYPES.dockerLayerGzip
  const layers = manifest.blobs.map((digest) => ({
    diffId: undefined,
    blob: { digest, size: undefined, mediaType },
    size: 0,
    content: (signal: AbortSignal) => source.blob({ digest, size: undefined, mediaType }, signal),
  }))
  const complete = (stored: readonly StoredLayer[]) => {
    const configBytes = schemaOneConfig(
      manifest,
      stored.map(({ diffId }) => diffId),
    )
    return {
      raw,
      index,
      config: parseImageConfig(configBytes),
      configBytes,
      configDigest: digestOf(configBytes),
      layers: stored.map(({ diffId, blob, size }, position) => ({
        diffId,
        blobDigest: manifest.blobs[position] as Digest,
        blobSize: blob?.size ?? size,
        mediaType,
      })),
    }
  }
  return { configDigest: undefined, layers, complete }
}

/** No manifest comes with such an image. It gets one that names each layer by its uncompressed tar. */
function describeConfig(source: ConfigSource, platform: Platform, configBytes: Buffer): DescribedImage {
  const configDigest = digestOf(configBytes)
  const plan = async (): Promise<ImagePlan> => {
    const config = parseImageConfig(configBytes)
    assertPlatform(config, platform)
    const diffIds = config.rootfs.diff_ids
    if (diffIds.length !== source.layerCount) throw wrongCount(source.layerCount, diffIds.length)
    const layers = diffIds.map((diffId, position) => ({ diffId, blob: undefined, size: 0, content: () => source.layer(position) }))
    return { configDigest, layers, complete: (stored) => completeWithManifest({ config, configBytes, stored }) }
  }
  // Nothing can be signed here: whatever digest is given, only a policy that asks for no signature lets it pass.
  return { manifestDigest: configDigest, indexDigest: undefined, plan }
}

export interface ManifestlessImage {
  readonly config: ImageConfig
  readonly configBytes: Buffer
  readonly stored: readonly StoredLayer[]
}

/** An image that has no manifest yet, with one that names its layers by their diff IDs. */
export function completeWithManifest({ config, configBytes, stored }: ManifestlessImage): CompleteImage {
  const mediaType = MEDIA_TYPES.dockerManifest
  const configDigest = digestOf(configBytes)
  const layers = stored.map(({ diffId, size }) => ({ diffId, blobDigest: diffId, blobSize: size, mediaType: MEDIA_TYPES.dockerLayer }))
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: MEDIA_TYPES.dockerConfig, size: configBytes.length, digest: configDigest },
    layers: layers.map(({ blobDigest, blobSize, mediaType: type }) => ({ mediaType: type, size: blobSize, digest: blobDigest })),
  }
  const bytes = Buffer.from(JSON.stringify(manifest))
  return { raw: { mediaType, digest: digestOf(bytes), bytes }, index: undefined, config, configBytes, configDigest, layers }
}

function wrongCount(layers: number, diffIds: number): PodlibError {
  return new PodlibError('ERR_ARCHIVE_INVALID', `the archive has ${layers} layers for an image whose config has ${diffIds} diff IDs`, {
    details: { layers, diffIds },
  })
}
