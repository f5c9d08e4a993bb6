import type { Descriptor } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'
import type { FetchLimits } from './limits.ts'

/** The manifest under the tag `sha256-<hex>.sig` and a way to its blobs. @public */
export interface CosignAttachment {
  readonly mediaType: string
  readonly manifest: Buffer
  readonly blob: (descriptor: Descriptor, limits: FetchLimits) => Promise<Buffer>
}

/**
 * Where signatures for a digest come from. Every function may be absent: then that kind does not exist for this
 * image. "Not found" is an empty answer; failing to reach a source is a rejected promise, never "no signatures".
 *
 * @example
 * ```ts
 * const { lookaside, useSigstoreAttachments } = signatureStorageFor(await loadSignatureConfig({ home }), reference)
 * const sources: SignatureSources = {
 *   signatures: (digest, limits) =>
 *     readLookaside({ base: lookaside ?? defaultLookaside(home), reference, digest, fetchUrl }, limits),
 *   ...(useSigstoreAttachments && { attachment: (digest, limits) => fetchTag(cosignTag(digest), limits) }),
 *   bundles: (digest, limits) => fetchReferrers(digest, MEDIA_TYPES.sigstoreBundle, limits),
 * }
 * ```
 * @public
 */
export interface SignatureSources {
  /** Signature blobs of a lookaside server (`readLookaside`) or of files beside the image (`signature-1`). */
  readonly signatures?: (digest: Digest, limits: FetchLimits) => AsyncIterable<Uint8Array>
  /** The cosign 2 attachment. Only to be given where registries.d says `use-sigstore-attachments: true`. */
  readonly attachment?: (digest: Digest, limits: FetchLimits) => Promise<CosignAttachment | undefined>
  /** Sigstore bundles: the layer of each OCI referrer whose artifactType is a bundle's. */
  readonly bundles?: (digest: Digest, limits: FetchLimits) => AsyncIterable<Uint8Array>
}

/** Evidence of one kind for one digest: what can be judged, and why the rest cannot. */
export interface Collected<Item> {
  readonly items: readonly Item[]
  readonly rejected: readonly string[]
}
