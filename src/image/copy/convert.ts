import type { Descriptor, ImageManifest, RawManifest } from '../../spec/descriptor.ts'
import { type Digest, digestOf } from '../../spec/digest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'

const NONDISTRIBUTABLE = 'application/vnd.oci.image.layer.nondistributable.v1.tar'

/** What Docker's types are called in OCI. Blobs are the same bytes by both names. */
const OCI_TYPES: Readonly<Record<string, string>> = {
  [MEDIA_TYPES.dockerConfig]: MEDIA_TYPES.ociConfig,
  [MEDIA_TYPES.dockerLayer]: MEDIA_TYPES.ociLayer,
  [MEDIA_TYPES.dockerLayerGzip]: MEDIA_TYPES.ociLayerGzip,
  [MEDIA_TYPES.dockerLayerZstd]: MEDIA_TYPES.ociLayerZstd,
  [MEDIA_TYPES.dockerForeignLayer]: NONDISTRIBUTABLE,
  [MEDIA_TYPES.dockerForeignLayerGzip]: `${NONDISTRIBUTABLE}+gzip`,
}
const DOCKER_TYPES: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(OCI_TYPES).map(([docker, oci]) => [oci, docker]))

/** The type of the same blob in an OCI manifest. */
export function ociType(mediaType: string): string {
  return OCI_TYPES[mediaType] ?? mediaType
}

/** The type of the same blob in a Docker manifest, v2s2. */
export function dockerType(mediaType: string): string {
  return DOCKER_TYPES[mediaType] ?? mediaType
}

/** Whether the bytes of a layer are not for registries: it is fetched from where its `urls` lead. */
export function isForeignLayer({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean {
  return ociType(mediaType).startsWith(NONDISTRIBUTABLE)
}

/** An image manifest in a form of one's own making: the same blobs, named as the form names them. */
export function writeManifest(
  format: 'oci' | 'v2s2',
  { config, layers, annotations }: Pick<ImageManifest, 'config' | 'layers' | 'annotations'>,
): RawManifest {
  const [mediaType, typeOf] =
    format === 'oci' ? ([MEDIA_TYPES.ociManifest, ociType] as const) : ([MEDIA_TYPES.dockerManifest, dockerType] as const)
  const blob = ({ mediaType: type, digest, size, urls }: Descriptor) => ({ mediaType: typeOf(type), digest, size, ...(urls && { urls }) })
  return document(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: blob(config),
    layers: layers.map(blob),
    // Docker's manifests have no place for them.
    ...(annotations && format === 'oci' && { annotations }),
  })
}

/** A list of Docker as an OCI index, of the manifests that its own were converted to. Whatever else it says of them stays. */
export function convertIndex({ bytes }: RawManifest, converted: ReadonlyMap<Digest, RawManifest>): RawManifest {
  const { manifests, annotations } = JSON.parse(bytes.toString('utf8')) as { manifests: Pick<Descriptor, 'digest'>[]; annotations?: object }
  const mediaType = MEDIA_TYPES.ociIndex
  return document(mediaType, {
    schemaVersion: 2,
    mediaType,
    manifests: manifests.map((entry) => {
      const now = converted.get(entry.digest)
      return now ? { ...entry, mediaType: now.mediaType, digest: now.digest, size: now.bytes.length } : entry
    }),
    ...(annotations && { annotations }),
  })
}

function document(mediaType: string, content: object): RawManifest {
  const bytes = Buffer.from(JSON.stringify(content))
  return { mediaType, digest: digestOf(bytes), bytes }
}
