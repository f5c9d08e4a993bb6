import { PodlibError } from '../../errors/errors.ts'
import type { ImageManifest } from '../../spec/descriptor.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import { isForeignLayer, ociType } from '../copy/convert.ts'
import type { LayerCompression } from '../layer-blobs.ts'
import type { PushImageOptions } from './options.ts'

/** What a manifest and its layers are to be; undefined where anything is right. */
export type PushWish = Pick<PushImageOptions, 'compression' | 'format'>

const COMPRESSIONS: Readonly<Record<string, LayerCompression>> = {
  [MEDIA_TYPES.ociLayer]: 'none',
  [MEDIA_TYPES.ociLayerGzip]: 'gzip',
  [MEDIA_TYPES.ociLayerZstd]: 'zstd',
}

/** @throws ERR_INVALID_ARGUMENT */
export function assertWish({ compression, format }: PushWish): void {
  if (compression !== undefined && !Object.values(COMPRESSIONS).includes(compression))
    throw badWish(`the compression is none, gzip or zstd, not ${JSON.stringify(compression)}`)
  if (format !== undefined && format !== 'oci' && format !== 'v2s2')
    throw badWish(`the format is oci or v2s2, not ${JSON.stringify(format)}`)
  if (format === 'v2s2' && compression === 'zstd') throw badWish("manifests of Docker know no zstd: give format: 'oci'")
}

/** How the layer of a media type is compressed; undefined for what podlib would not write. */
export function compressionOf(mediaType: string): LayerCompression | undefined {
  return COMPRESSIONS[ociType(mediaType)]
}

/** Whether a manifest can be pushed as it is. */
export function suitsManifest(
  { mediaType, layers }: Pick<ImageManifest, 'mediaType' | 'layers'>,
  { compression, format }: PushWish,
): boolean {
  if (format !== undefined && mediaType !== (format === 'oci' ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.dockerManifest)) return false
  return compression === undefined || layers.every((layer) => isForeignLayer(layer) || compressionOf(layer.mediaType) === compression)
}

/** Whether a blob that a registry has can stand for a layer in a new manifest. */
export function suitsLayer(mediaType: string, { compression, format }: PushWish): boolean {
  const found = compressionOf(mediaType)
  if (found === undefined || (format === 'v2s2' && found === 'zstd')) return false
  return compression === undefined ? found !== 'none' : found === compression
}

function badWish(why: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `cannot push so: ${why}`)
}
