import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex } from '../spec/digest.ts'
import { parseManifest } from '../spec/manifest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import type { Reference } from '../spec/reference.ts'
import type { FetchLimits } from '../trust/limits.ts'
import { defaultLookaside, readLookaside } from '../trust/lookaside.ts'
import { signatureStorageFor } from '../trust/registries-d.ts'
import type { CosignAttachment, SignatureSources } from '../trust/sources.ts'

/** Where the signatures of an image in a registry are: lookaside servers, cosign attachments and OCI referrers. */
export async function signatureSources(context: Context, reference: Reference): Promise<SignatureSources> {
  const { signatureConfig, home } = await context.trust()
  const storage = signatureStorageFor(signatureConfig, reference)
  const base = storage.lookaside ?? defaultLookaside(home)
  return {
    signatures: (digest, limits) =>
      readLookaside({ base, reference, digest, fetchUrl: async (url, bounds) => (await context.registry()).fetchUrl(url, bounds) }, limits),
    ...(storage.useSigstoreAttachments && { attachment: (digest, limits) => fetchAttachment(context, reference, digest, limits) }),
    bundles: (digest, limits) => fetchBundles(context, reference, digest, limits),
  }
}

async function fetchAttachment(
  context: Context,
  reference: Reference,
  digest: Digest,
  limits: FetchLimits,
): Promise<CosignAttachment | undefined> {
  const registry = await context.registry()
  const target = { ...reference, digest: undefined, tag: `${digestAlgorithm(digest)}-${digestHex(digest)}.sig` }
  try {
    const { mediaType, bytes, endpoint } = await registry.manifest(target, limits.signal && { signal: limits.signal })
    const blob = (descriptor: Descriptor, { maxBytes, signal }: FetchLimits) =>
      registry.blobBytes(target, descriptor, { maxBytes, endpoint, ...(signal && { signal }) })
    return { mediaType, manifest: bytes, blob }
  } catch (error) {
    if (isPodlibError(error, 'ERR_MANIFEST_NOT_FOUND')) return undefined
    throw error
  }
}

async function* fetchBundles(
  context: Context,
  reference: Reference,
  digest: Digest,
  { maxBytes, signal }: FetchLimits,
): AsyncGenerator<Uint8Array> {
  const registry = await context.registry()
  const options = { ...(signal && { signal }) }
  for await (const { manifest } of registry.referrers(reference, digest, { artifactType: MEDIA_TYPES.sigstoreBundle, ...options })) {
    const parsed = parseManifest(manifest)
    const layer = parsed.kind === 'image' ? parsed.manifest.layers[0] : undefined
    if (layer)
      yield registry.blobBytes({ ...reference, digest: manifest.digest }, layer, { maxBytes, endpoint: manifest.endpoint, ...options })
  }
}
