import type { Context } from '../../lifecycle/context.ts'
import type { Credential } from '../../registry/types.ts'
import type { Descriptor, ImageManifest, RawManifest } from '../../spec/descriptor.ts'
import { type Digest, digestOf } from '../../spec/digest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import type { Reference } from '../../spec/reference.ts'
import { listImageNames } from '../../state/image-name-table.ts'
import { getImage, type ImageManifestRow, listImageManifests, putImageManifest } from '../../state/image-table.ts'
import type { BlobOutcome } from '../../transport/image-destination.ts'
import { bytesContent } from '../../transport/saved-image.ts'
import { countBlobs } from '../copy/blobs.ts'
import { isForeignLayer, writeManifest } from '../copy/convert.ts'
import { bundleReferrer, countSignatures } from '../copy/signatures.ts'
import { readOrigins, signatureFiles } from '../kept-signatures.ts'
import type { ImageToSave } from '../saved-manifest.ts'
import { blobFinder, cameWithImage } from './available.ts'
import { registryDestination } from './destination.ts'
import { type PushLayer, type PushRun, pushLayers, pushVerbatim } from './layers.ts'
import type { PushedImage, PushImageOptions, PushProgress } from './options.ts'
import { missingPlace, pushSignatures, signaturePlaces } from './signatures.ts'
import { suitsManifest } from './wish.ts'

export interface RegistryPush {
  readonly image: ImageToSave
  readonly reference: Reference
  readonly options: PushImageOptions
  readonly report: (progress: PushProgress) => void
  readonly signal: AbortSignal
}

/**
 * Pushes an image to a registry: with a manifest that it came with, byte for byte, if the registry has or can get all layers
 * as they came; otherwise with a new one, of layers that it has in some form or that are compressed anew.
 */
export async function pushToRegistry(context: Context, { image, reference, options, report, signal }: RegistryPush): Promise<PushedImage> {
  const { credential, compression, format } = options
  const destination = await registryDestination(context, reference, { ...(credential && { credential }) })
  const finder = blobFinder(context, { registry: await context.registry(), reference, credential, signal })
  const wish = { ...(compression && { compression }), ...(format && { format }) }
  const run: PushRun = { reference, destination, finder, wish, report, signal }
  report({ phase: 'prepare', reference: destination.where })
  const kept = await findVerbatim(context, image, run)
  const { raw, outcomes } = kept
    ? { raw: kept.raw, outcomes: await pushVerbatim(context, kept.layers, run) }
    : await pushNew(context, image, run)
  const config = bytesContent(Buffer.from(image.row.config), configDigestOf(image))
  await destination.putBlob(config, { onProgress: () => {}, signal })
  const verbatim = image.manifests.some((known) => known.raw.digest === raw.digest)
  report({ phase: 'publish', reference: destination.where })
  const signatures =
    verbatim && options.signatures !== 'remove' ? await pushKeptSignatures(context, image, { raw, reference, credential, signal }) : 0
  signal.throwIfAborted()
  await destination.finish(raw, signal)
  await record(context, image, { raw, name: destination.where })
  return {
    id: image.row.id,
    destination: destination.where,
    manifestDigest: raw.digest,
    verbatim,
    layers: countBlobs(outcomes),
    signatures,
  }
}

interface KnownManifest {
  readonly raw: RawManifest
  readonly manifest: ImageManifest
}

function configDigestOf({ row, manifests }: ImageToSave): Digest {
  return manifests[0]?.manifest.config.digest ?? digestOf(row.config)
}

interface Verbatim {
  readonly raw: RawManifest
  readonly layers: readonly PushLayer[]
}

/** The first manifest whose every layer the registry has, or can get without that a byte of it changes. */
async function findVerbatim(context: Context, image: ImageToSave, run: PushRun): Promise<Verbatim | undefined> {
  for (const { raw, manifest } of preferredFirst(context, image)) {
    if (!suitsManifest(manifest, run.wish) || manifest.layers.length !== image.layers.length) continue
    const row = rowOf(context, image, raw.digest)
    const isMade = row === undefined || !cameWithImage(row)
    const layers = manifest.layers
      .map((blob, position): PushLayer => ({ diffId: (image.layers[position] as { diffId: Digest }).diffId, blob }))
      .filter(({ blob }) => !isForeignLayer(blob))
    const has = async ({ diffId, blob }: PushLayer) =>
      // A tar is what the store can give back; but what podlib wrote of it only to keep it is better compressed.
      (blob.digest === diffId && (!isMade || run.wish.compression === 'none')) || (await run.finder.find(blob.digest, diffId)) !== undefined
    if ((await Promise.all(layers.map(has))).every(Boolean)) return { raw: typed(raw, manifest), layers }
  }
  return undefined
}

/** What the image's name leads to, then the newest. */
function preferredFirst({ db }: Context, { row, names, manifests }: ImageToSave): KnownManifest[] {
  const named = new Set(listImageNames(db, row.id).flatMap(({ name, manifestDigest }) => (names.includes(name) ? [manifestDigest] : [])))
  const newest = manifests.toReversed()
  return [...newest.filter(({ raw }) => named.has(raw.digest)), ...newest.filter(({ raw }) => !named.has(raw.digest))]
}

function rowOf({ db }: Context, { row }: ImageToSave, digest: Digest): ImageManifestRow | undefined {
  return listImageManifests(db, row.id).find((manifest) => manifest.digest === digest)
}

function typed(raw: RawManifest, { mediaType }: ImageManifest): RawManifest {
  return { ...raw, mediaType }
}

async function pushNew(
  context: Context,
  image: ImageToSave,
  run: PushRun,
): Promise<{ readonly raw: RawManifest; readonly outcomes: readonly BlobOutcome[] }> {
  const { blobs, outcomes } = await pushLayers(
    context,
    image.layers.map(({ diffId }) => diffId),
    run,
  )
  const layers = image.layers.map(({ diffId }) => blobs.get(diffId) as Descriptor)
  // What was compressed here before comes out the same.
  const same = image.manifests.find(
    ({ manifest }) =>
      suitsManifest(manifest, run.wish) &&
      manifest.layers.length === layers.length &&
      manifest.layers.every(({ digest }, position) => digest === layers[position]?.digest),
  )
  if (same) return { raw: typed(same.raw, same.manifest), outcomes }
  const config = { mediaType: MEDIA_TYPES.ociConfig, digest: configDigestOf(image), size: image.row.config.length }
  const annotations = image.manifests.find(({ manifest }) => manifest.annotations)?.manifest.annotations
  const { format = 'oci' } = run.wish
  return { raw: writeManifest(format, { config, layers, ...(annotations && { annotations }) }), outcomes }
}

interface KeptSignatures {
  readonly raw: RawManifest
  readonly reference: Reference
  readonly credential: Credential | undefined
  readonly signal: AbortSignal
}

/** Takes along what is kept with the manifest and has a place there. @returns how many */
async function pushKeptSignatures(context: Context, image: ImageToSave, { raw, ...push }: KeptSignatures): Promise<number> {
  const column = rowOf(context, image, raw.digest)?.signatures
  const bundles = readOrigins(column)
    .flatMap(({ answers }) => answers.filter(({ kind, digest }) => kind === 'bundles' && digest === raw.digest))
    .flatMap(({ items }) => items)
  const found = signatureFiles(column, raw.digest)
  if (found.length + bundles.length === 0) return 0
  const places = await signaturePlaces(context, push.reference)
  const subject = { mediaType: raw.mediaType, digest: raw.digest, size: raw.bytes.length }
  const kept = {
    digest: raw.digest,
    files: found.filter((file) => missingPlace(places, [file]) === undefined),
    bundles: [...new Set(bundles)].map((bundle) => bundleReferrer(Buffer.from(bundle, 'base64'), subject)),
  }
  await pushSignatures(context, [kept], { ...push, places })
  return countSignatures([kept])
}

/** A later push, or a look whether the name has moved, knows what it was pushed as. */
async function record(
  context: Context,
  image: ImageToSave,
  { raw, name }: { readonly raw: RawManifest; readonly name: string },
): Promise<void> {
  const { db, events } = context
  const { id } = image.row
  await db.transaction(() => {
    const isKnown = listImageManifests(db, id).some(({ digest }) => digest === raw.digest)
    if (!isKnown && getImage(db, id) !== undefined) {
      const { mediaType, digest, bytes } = raw
      putImageManifest(db, { imageId: id, digest, mediaType, bytes, indexDigest: null, indexBytes: null, signatures: null })
    }
    events.record({ type: 'image', action: 'push', id, name, attributes: { reference: name, digest: raw.digest } })
  })
}
