import type { RawManifest } from '../../spec/descriptor.ts'
import type { Digest } from '../../spec/digest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import { convertIndex, writeManifest } from './convert.ts'
import type { CopyTree } from './source.ts'

/**
 * An image as an OCI layout can hold it: manifests and lists of Docker in OCI's form, with whatever lists them. A tree that is
 * OCI's through and through is given back as it is.
 */
export function convertTree(tree: CopyTree): CopyTree {
  const { root, manifests, indexes } = tree
  const now = new Map<Digest, RawManifest>()
  for (const { raw, manifest } of manifests)
    if (manifest.mediaType === MEDIA_TYPES.dockerManifest) now.set(raw.digest, writeManifest('oci', manifest))
  // What an index lists comes before it.
  for (const { raw, index } of indexes)
    if (raw.mediaType === MEDIA_TYPES.dockerList || index.manifests.some(({ digest }) => now.has(digest)))
      now.set(raw.digest, convertIndex(raw, now))
  if (now.size === 0) return tree
  const converted = (raw: RawManifest) => now.get(raw.digest) ?? raw
  return {
    root: converted(root),
    manifests: manifests.map((one) => ({ ...one, raw: converted(one.raw) })),
    indexes: indexes.map((one) => ({ ...one, raw: converted(one.raw) })),
  }
}
