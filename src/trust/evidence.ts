import type { Digest } from '../spec/digest.ts'
import { type CosignSignature, readAttachment } from './cosign.ts'
import { TRUST_LIMITS } from './limits.ts'
import { isRejection } from './rejection.ts'
import { parseSignatureBlob, type SignatureBlob } from './signature-blob.ts'
import type { Collected, SignatureSources } from './sources.ts'

/** What the sources have for a digest, fetched when first asked for and then kept for the other requirements. */
export interface Evidence {
  /** OpenPGP messages. */
  simple(digest: Digest): Promise<Collected<Buffer>>
  /** Cosign 2 signatures, from attachments and from files. */
  cosign(digest: Digest): Promise<Collected<CosignSignature>>
  /** Sigstore bundles, unparsed. */
  bundles(digest: Digest): Promise<Collected<Buffer>>
}

export function evidenceFrom(sources: SignatureSources, signal: AbortSignal | undefined): Evidence {
  const blobs = remember((digest) => collectBlobs(sources, digest, signal))
  const attachments = remember((digest) => collectAttachment(sources, digest, signal))
  const bundles = remember((digest) => drain(sources.bundles, digest, signal))
  return {
    simple: async (digest) => {
      const { items, rejected } = await blobs(digest)
      return { items: items.flatMap((blob) => (blob.kind === 'simple-signing' ? [blob.message] : [])), rejected }
    },
    cosign: async (digest) => {
      const files = await blobs(digest)
      const attached = await attachments(digest)
      const stored = files.items.flatMap((blob) => (blob.kind === 'sigstore' ? [blob.signature] : []))
      return { items: [...stored, ...attached.items], rejected: [...files.rejected, ...attached.rejected] }
    },
    bundles,
  }
}

function remember<Item>(collect: (digest: Digest) => Promise<Item>): (digest: Digest) => Promise<Item> {
  const known = new Map<Digest, Promise<Item>>()
  return (digest) => {
    const found = known.get(digest) ?? collect(digest)
    known.set(digest, found)
    return found
  }
}

/** Reads a source to its end, or to a bound: beyond it nothing counts, lest the order decide what is seen. */
async function drain(source: SignatureSources['bundles'], digest: Digest, signal: AbortSignal | undefined): Promise<Collected<Buffer>> {
  if (!source) return { items: [], rejected: [] }
  const items: Buffer[] = []
  let total = 0
  try {
    for await (const bytes of source(digest, { maxBytes: TRUST_LIMITS.bytes, signal })) {
      signal?.throwIfAborted()
      total += bytes.byteLength
      if (bytes.byteLength > TRUST_LIMITS.bytes) return refused(`a signature is larger than ${TRUST_LIMITS.bytes} bytes`)
      if (total > TRUST_LIMITS.totalBytes) return refused(`the signatures are larger than ${TRUST_LIMITS.totalBytes} bytes together`)
      if (items.length >= TRUST_LIMITS.signatures) return refused(`there are more than ${TRUST_LIMITS.signatures} signatures`)
      items.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    }
  } catch (error) {
    // Only kept evidence says so, of what was not kept: the rest of it counts.
    if (!isRejection(error)) throw error
    return { items, rejected: [error.message] }
  }
  signal?.throwIfAborted()
  return { items, rejected: [] }
}

async function collectBlobs(sources: SignatureSources, digest: Digest, signal: AbortSignal | undefined): Promise<Collected<SignatureBlob>> {
  const { items, rejected } = await drain(sources.signatures, digest, signal)
  const blobs: SignatureBlob[] = []
  const reasons = [...rejected]
  for (const bytes of items) {
    try {
      blobs.push(parseSignatureBlob(bytes))
    } catch (error) {
      if (!isRejection(error)) throw error
      reasons.push(error.message)
    }
  }
  return { items: blobs, rejected: reasons }
}

async function collectAttachment(
  sources: SignatureSources,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<Collected<CosignSignature>> {
  try {
    const attachment = await sources.attachment?.(digest, { maxBytes: TRUST_LIMITS.bytes, signal })
    signal?.throwIfAborted()
    return attachment ? await readAttachment(attachment, signal) : { items: [], rejected: [] }
  } catch (error) {
    if (!isRejection(error)) throw error
    return refused(error.message)
  }
}

function refused(reason: string): Collected<never> {
  return { items: [], rejected: [reason] }
}
