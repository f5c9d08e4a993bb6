import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isPodlibError, PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { RegistryClient } from '../../registry/client-interface.ts'
import type { Credential } from '../../registry/types.ts'
import type { Descriptor } from '../../spec/descriptor.ts'
import { type Digest, digestOf } from '../../spec/digest.ts'
import { parseManifest } from '../../spec/manifest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import { formatReference, type Reference } from '../../spec/reference.ts'
import { bytesContent } from '../../transport/saved-image.ts'
import { COSIGN_ANNOTATIONS, type CosignSignature, cosignTag, readAttachment } from '../../trust/cosign.ts'
import { TRUST_LIMITS } from '../../trust/limits.ts'
import { defaultLookaside, lookasideUrl, readLookaside } from '../../trust/lookaside.ts'
import { signatureStorageFor } from '../../trust/registries-d.ts'
import { parseSignatureBlob } from '../../trust/signature-blob.ts'
import type { CosignAttachment } from '../../trust/sources.ts'
import { type ImageSignatures, type SignatureBundle, signatureKind } from '../copy/signatures.ts'
import { outputError } from '../output-error.ts'

/** Where the signatures of images in a repository are written. */
export interface SignaturePlaces {
  /** `file:` URL of a lookaside; undefined where it is a web server, to which nobody can write. */
  readonly lookaside: string | undefined
  readonly attachments: boolean
}

export async function signaturePlaces(context: Context, reference: Reference): Promise<SignaturePlaces> {
  const { signatureConfig, home } = await context.trust()
  const { lookaside, lookasideStaging, useSigstoreAttachments } = signatureStorageFor(signatureConfig, reference)
  const base = lookasideStaging ?? lookaside ?? defaultLookaside(home)
  return { lookaside: base.startsWith('file:') ? base : undefined, attachments: useSigstoreAttachments === true }
}

/** Why some of the signatures have no place there; undefined if all have one. */
export function missingPlace({ lookaside, attachments }: SignaturePlaces, files: readonly Buffer[]): string | undefined {
  const kinds = files.map(signatureKind)
  if (kinds.includes(undefined)) return 'one is of a kind that only the dir transport has a place for'
  if (kinds.includes('simple-signing') && lookaside === undefined)
    return 'the lookaside of the destination is a web server: say in registries.d which directory is its lookaside-staging'
  if (kinds.includes('sigstore') && !attachments) return 'use-sigstore-attachments is not set for the destination in registries.d'
  return undefined
}

export interface PushSignatures {
  readonly reference: Reference
  readonly places: SignaturePlaces
  readonly credential: Credential | undefined
  readonly signal: AbortSignal
}

/** Writes signatures to where they are looked for. What is there already stays, and is not written twice. */
export async function pushSignatures(context: Context, signatures: readonly ImageSignatures[], push: PushSignatures): Promise<void> {
  const { reference, places, credential, signal } = push
  const registry = await context.registry()
  const options = { signal, ...(credential && { credential }) }
  for (const { digest, files, bundles } of signatures) {
    const plain = files.filter((file) => signatureKind(file) === 'simple-signing')
    if (plain.length > 0 && places.lookaside) await writeLookaside(places.lookaside, { reference, digest, files: plain, signal })
    const cosign = files.flatMap((file) => cosignSignature(file) ?? [])
    if (cosign.length > 0) await pushAttachment(registry, { reference, digest, added: cosign, options })
    if (bundles.length > 0) await pushReferrers(registry, { reference, digest, bundles, options })
  }
}

/** Signatures of one manifest on their way to a registry. */
interface SignaturesOf {
  readonly reference: Reference
  readonly digest: Digest
  readonly options: { readonly signal: AbortSignal; readonly credential?: Credential }
}

interface ReferrersPush extends SignaturesOf {
  readonly bundles: readonly SignatureBundle[]
}

async function pushReferrers(registry: RegistryClient, { reference, digest, bundles, options }: ReferrersPush): Promise<void> {
  const there = new Set<Digest>()
  for await (const { manifest } of registry.referrers(reference, digest, { artifactType: MEDIA_TYPES.sigstoreBundle, ...options })) {
    const parsed = parseManifest(manifest)
    if (parsed.kind === 'image') for (const layer of parsed.manifest.layers) there.add(layer.digest)
  }
  for (const { raw, blobs } of bundles) {
    const [, ...content] = blobs
    if (content.length > 0 && content.every((blob) => there.has(blob.digest))) continue
    for (const blob of blobs) await registry.pushBlob(reference, bytesContent(blob.bytes, blob.digest), options)
    await registry.pushManifest({ ...reference, tag: undefined, digest: raw.digest }, raw, options)
  }
}

function cosignSignature(file: Buffer): CosignSignature | undefined {
  if (signatureKind(file) !== 'sigstore') return undefined
  const parsed = parseSignatureBlob(file)
  return parsed.kind === 'sigstore' ? parsed.signature : undefined
}

interface LookasideFiles {
  readonly reference: Reference
  readonly digest: Digest
  readonly files: readonly Buffer[]
  readonly signal: AbortSignal
}

async function writeLookaside(base: string, { reference, digest, files, signal }: LookasideFiles): Promise<void> {
  const there: Buffer[] = []
  const fetchUrl = async () => undefined
  for await (const bytes of readLookaside({ base, reference, digest, fetchUrl }, { maxBytes: TRUST_LIMITS.bytes, signal }))
    there.push(Buffer.from(bytes))
  let number = there.length
  for (const file of files.filter((one) => !there.some((other) => other.equals(one)))) {
    const path = fileURLToPath(lookasideUrl(base, { reference, digest, number: ++number }))
    const temporary = `${path}.${randomBytes(6).toString('hex')}.partial`
    try {
      await mkdir(dirname(path), { recursive: true })
      await writeFile(temporary, file, { flag: 'wx', mode: 0o644 })
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw outputError(error, path)
    }
  }
}

interface AttachmentPush extends SignaturesOf {
  readonly added: readonly CosignSignature[]
}

/** Extends the attachment that cosign 2 and containers/image read. */
async function pushAttachment(registry: RegistryClient, { reference, digest, added, options }: AttachmentPush): Promise<void> {
  const target = { ...reference, digest: undefined, tag: cosignTag(digest) }
  const there = await readThere(registry, target, options)
  const isThere = (one: CosignSignature) => there.some((other) => sameSignature(other, one))
  const missing = added.filter((signature) => !isThere(signature))
  if (missing.length === 0) return
  const layers = [...there, ...missing].map(({ payload, annotations }): Descriptor & { bytes: Buffer } => ({
    mediaType: MEDIA_TYPES.cosignSignature,
    digest: digestOf(payload),
    size: payload.length,
    annotations: Object.fromEntries(annotations),
    bytes: payload,
  }))
  // As cosign does it: an image without a platform, whose layers are the payloads.
  const diffIds = layers.map((layer) => layer.digest)
  const config = Buffer.from(JSON.stringify({ architecture: '', os: '', config: {}, rootfs: { type: 'layers', diff_ids: diffIds } }))
  const mediaType = MEDIA_TYPES.ociManifest
  const document = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(({ bytes: _, ...layer }) => layer),
  }
  for (const bytes of [config, ...layers.map((layer) => layer.bytes)])
    await registry.pushBlob(reference, bytesContent(bytes, digestOf(bytes)), options)
  const bytes = Buffer.from(JSON.stringify(document))
  await registry.pushManifest(target, { mediaType, digest: digestOf(bytes), bytes }, options)
}

async function readThere(
  registry: RegistryClient,
  target: Reference,
  options: AttachmentPush['options'],
): Promise<readonly CosignSignature[]> {
  try {
    // What a mirror has may be old: written is to the registry itself, and so it must be read from there.
    const { registry: host, repository } = target
    const endpoint = registry.endpoints(target).find((one) => !one.mirror) ?? { registry: host, repository, insecure: false, mirror: false }
    const { mediaType, bytes } = await registry.manifest(target, { ...options, endpoint })
    const blob: CosignAttachment['blob'] = (descriptor, { maxBytes }) =>
      registry.blobBytes(target, descriptor, { ...options, maxBytes, endpoint })
    const { items, rejected } = await readAttachment({ mediaType, manifest: bytes, blob }, options.signal)
    if (rejected[0] === undefined) return items
    throw new PodlibError('ERR_SIGNATURE_DESTINATION', `cannot add signatures to ${formatReference(target)}: ${rejected[0]}`)
  } catch (error) {
    if (isPodlibError(error) && error.kind === 'not-found') return []
    throw error
  }
}

function sameSignature(one: CosignSignature, other: CosignSignature): boolean {
  const name = COSIGN_ANNOTATIONS.signature
  return one.payload.equals(other.payload) && one.annotations.get(name) === other.annotations.get(name)
}
