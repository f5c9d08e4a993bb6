import { errorMessage, isPodlibError } from '../errors/errors.ts'
import type { Descriptor, ImageManifest } from '../spec/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../spec/digest.ts'
import { parseManifest } from '../spec/manifest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { TRUST_LIMITS } from './limits.ts'
import { Rejection } from './rejection.ts'
import type { Collected, CosignAttachment } from './sources.ts'

/** One cosign 2 signature: the signed bytes and what stands in the annotations of their layer. */
export interface CosignSignature {
  readonly payload: Buffer
  readonly annotations: ReadonlyMap<string, string>
}

/** Annotations of a cosign signature. @see https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md */
export const COSIGN_ANNOTATIONS = {
  signature: 'dev.cosignproject.cosign/signature',
  rekorBundle: 'dev.sigstore.cosign/bundle',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
} as const

/** The tag cosign 2 keeps the signatures of a manifest under, in the repository of the image. @public */
export function cosignTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}.sig`
}

/** Fetches the signatures an attachment lists. Bounds are checked from the manifest, before anything is fetched. */
export async function readAttachment(attachment: CosignAttachment, signal: AbortSignal | undefined): Promise<Collected<CosignSignature>> {
  const manifest = parseAttachment(attachment)
  if (typeof manifest === 'string') return { items: [], rejected: [manifest] }
  const layers = manifest.layers.filter((layer) => layer.mediaType === MEDIA_TYPES.cosignSignature)
  const total = layers.reduce((sum, layer) => sum + layer.size, 0)
  if (layers.length > TRUST_LIMITS.signatures) return refused(`there are more than ${TRUST_LIMITS.signatures} cosign signatures`)
  if (total > TRUST_LIMITS.totalBytes) return refused(`the cosign signatures are larger than ${TRUST_LIMITS.totalBytes} bytes together`)
  const items: CosignSignature[] = []
  const rejected: string[] = []
  for (const layer of layers) {
    const payload = await fetchPayload(attachment, layer, signal)
    if (typeof payload === 'string') rejected.push(payload)
    else items.push({ payload, annotations: new Map(Object.entries(layer.annotations ?? {})) })
  }
  return { items, rejected }
}

function parseAttachment({ manifest, mediaType }: CosignAttachment): ImageManifest | string {
  if (manifest.byteLength > TRUST_LIMITS.bytes) return `the cosign attachment is larger than ${TRUST_LIMITS.bytes} bytes`
  try {
    const parsed = parseManifest({ bytes: manifest, mediaType, digest: digestOf(manifest) })
    return parsed.kind === 'image' ? parsed.manifest : 'the cosign attachment is an index'
  } catch (error) {
    if (!isPodlibError(error)) throw error
    return `the cosign attachment is malformed: ${errorMessage(error)}`
  }
}

async function fetchPayload(attachment: CosignAttachment, layer: Descriptor, signal: AbortSignal | undefined): Promise<Buffer | string> {
  if (layer.size > TRUST_LIMITS.bytes) return `a cosign payload is larger than ${TRUST_LIMITS.bytes} bytes`
  signal?.throwIfAborted()
  const payload = await attachment.blob(layer, { maxBytes: layer.size, signal })
  signal?.throwIfAborted()
  const proven = payload.byteLength === layer.size && digestOf(payload, digestAlgorithm(layer.digest)) === layer.digest
  return proven ? payload : `the cosign payload ${layer.digest} has another digest or size`
}

function refused(reason: string): Collected<never> {
  return { items: [], rejected: [reason] }
}

/** An annotation that has to be there. */
export function annotation(signature: CosignSignature, name: string): string {
  const text = signature.annotations.get(name)
  if (text === undefined) throw new Rejection(`the signature has no annotation ${name}`)
  return text
}
