import { errorMessage, PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { Descriptor, RawManifest } from '../../spec/descriptor.ts'
import { type Digest, digestOf } from '../../spec/digest.ts'
import { parseManifest } from '../../spec/manifest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import type { Reference } from '../../spec/reference.ts'
import { readAttachment } from '../../trust/cosign.ts'
import { TRUST_LIMITS } from '../../trust/limits.ts'
import { formatStored, parseSignatureBlob } from '../../trust/signature-blob.ts'
import type { SignatureSources } from '../../trust/sources.ts'

/** The signatures of one manifest, as files beside an image and as what refers to it in a registry. */
export interface ImageSignatures {
  readonly digest: Digest
  /** Simple signing, and cosign signatures as containers/image stores them. */
  readonly files: readonly Buffer[]
  readonly bundles: readonly SignatureBundle[]
}

/** A manifest that refers to a signed one, with the blobs that it names. */
export interface SignatureBundle {
  readonly raw: RawManifest
  readonly blobs: readonly { readonly digest: Digest; readonly bytes: Buffer }[]
}

export interface CollectSignatures {
  readonly sources: SignatureSources
  /** In which registry the image is, if in any. */
  readonly reference: Reference | undefined
  readonly digests: readonly Digest[]
  readonly signal: AbortSignal
}

/** Everything that signs one of the manifests, to go along with them. Nothing of it is judged: the policy has been asked. */
export async function collectSignatures(context: Context, input: CollectSignatures): Promise<ImageSignatures[]> {
  const { sources, reference, digests, signal } = input
  const limits = { maxBytes: TRUST_LIMITS.bytes, signal }
  const found: ImageSignatures[] = []
  for (const digest of digests) {
    const files: Buffer[] = []
    for await (const bytes of sources.signatures?.(digest, limits) ?? []) {
      files.push(Buffer.from(bytes))
      assertCount(files, digest)
    }
    const attachment = await sources.attachment?.(digest, limits)
    if (attachment) {
      const { items, rejected } = await readAttachment(attachment, signal)
      if (rejected[0] !== undefined) throw unreadable(digest, rejected[0])
      files.push(...items.map(formatStored))
    }
    found.push({ digest, files, bundles: reference ? await collectBundles(context, reference, digest, signal) : [] })
  }
  return found.filter(({ files, bundles }) => files.length + bundles.length > 0)
}

export function countSignatures(signatures: readonly ImageSignatures[]): number {
  return signatures.reduce((sum, { files, bundles }) => sum + files.length + bundles.length, 0)
}

async function collectBundles(context: Context, reference: Reference, digest: Digest, signal: AbortSignal): Promise<SignatureBundle[]> {
  const registry = await context.registry()
  const bundles: SignatureBundle[] = []
  for await (const { manifest } of registry.referrers(reference, digest, { artifactType: MEDIA_TYPES.sigstoreBundle, signal })) {
    const parsed = parseManifest(manifest)
    if (parsed.kind !== 'image') continue
    const { digest: own, bytes, endpoint } = manifest
    const blobs: { digest: Digest; bytes: Buffer }[] = []
    for (const descriptor of [parsed.manifest.config, ...parsed.manifest.layers])
      blobs.push({
        digest: descriptor.digest,
        bytes: await registry.blobBytes({ ...reference, digest: own }, descriptor, { maxBytes: TRUST_LIMITS.bytes, endpoint, signal }),
      })
    bundles.push({ raw: { digest: own, bytes, mediaType: parsed.manifest.mediaType }, blobs })
    assertCount(bundles, digest)
  }
  return bundles
}

/** A bundle as a referrer of the manifest that it signs. @param subject - descriptor of that */
export function bundleReferrer(bundle: Buffer, subject: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>): SignatureBundle {
  const empty = Buffer.from('{}')
  const { ociManifest: mediaType, ociEmpty, sigstoreBundle } = MEDIA_TYPES
  const blobs = [empty, bundle].map((bytes) => ({ digest: digestOf(bytes), bytes }))
  const describe = (type: string, bytes: Buffer) => ({ mediaType: type, digest: digestOf(bytes), size: bytes.length })
  const document = {
    schemaVersion: 2,
    mediaType,
    artifactType: sigstoreBundle,
    config: describe(ociEmpty, empty),
    layers: [describe(sigstoreBundle, bundle)],
    subject,
  }
  const bytes = Buffer.from(JSON.stringify(document))
  return { raw: { mediaType, digest: digestOf(bytes), bytes }, blobs }
}

export type SignatureKind = 'simple-signing' | 'sigstore'

/** What a signature file is; what nobody knows can only stay a file. */
export function signatureKind(file: Buffer): SignatureKind | undefined {
  try {
    return parseSignatureBlob(file).kind
  } catch {
    return undefined
  }
}

/** The error for signatures that would be lost, which nobody is to find out later. */
export function noPlaceFor(signatures: readonly ImageSignatures[], why: string): PodlibError {
  const count = countSignatures(signatures)
  return new PodlibError(
    'ERR_SIGNATURE_DESTINATION',
    `the image has ${count} ${count === 1 ? 'signature' : 'signatures'}, and ${why}; give signatures: 'remove' to leave them behind`,
    { details: { signatures: count, digests: signatures.map(({ digest }) => digest) } },
  )
}

function assertCount(items: readonly unknown[], digest: Digest): void {
  if (items.length > TRUST_LIMITS.signatures) throw unreadable(digest, `there are more than ${TRUST_LIMITS.signatures}`)
}

function unreadable(digest: Digest, why: unknown): PodlibError {
  const reason = typeof why === 'string' ? why : errorMessage(why)
  return new PodlibError(
    'ERR_SIGNATURE_DESTINATION',
    `cannot take the signatures of ${digest} along: ${reason}; give signatures: 'remove' to leave them behind`,
    { details: { digest } },
  )
}
