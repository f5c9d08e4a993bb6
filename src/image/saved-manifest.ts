import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Descriptor, ImageManifest, RawManifest } from '../spec/descriptor.ts'
import { type Digest, digestOf } from '../spec/digest.ts'
import { parseManifest } from '../spec/manifest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import type { Platform } from '../spec/platform.ts'
import { listImageNames } from '../state/image-name-table.ts'
import { type ImageLayerRow, type ImageManifestRow, type ImageRow, listImageLayers, listImageManifests } from '../state/image-table.ts'
import type { SavedImage } from '../transport/saved-image.ts'
import { assertOwnImage } from './additional-images.ts'
import { signatureFiles } from './kept-signatures.ts'
import type { LayerBlob } from './layer-blobs.ts'
import { type FoundImage, findImage } from './resolve-name.ts'

/** An image of the store, with what is needed to write it out. */
export interface ImageToSave {
  readonly row: ImageRow
  readonly names: readonly string[]
  readonly layers: readonly ImageLayerRow[]
  /** As they came, the first one first; those of Docker schema 1 left out. */
  readonly manifests: readonly { readonly raw: RawManifest; readonly manifest: ImageManifest; readonly signatures: readonly Buffer[] }[]
}

/** An image to save: by name or id, or the very image that once had a name. */
export type ImageChoice = string | ImageHandle

interface ImageHandle {
  readonly id: string
  readonly name: string
  /** What it is to be called there, instead of by its own name. */
  readonly as?: readonly string[]
}

/** Finds images by name or id; one that is named several times is saved once, with the names it was asked for by. */
export function imagesToSave(context: Context, namesOrIds: readonly ImageChoice[], platform: Platform): ImageToSave[] {
  if (namesOrIds.length === 0) throw new PodlibError('ERR_INVALID_ARGUMENT', 'there is nothing to save: name an image')
  const found = new Map<string, { row: ImageRow; names: Set<string> }>()
  for (const text of namesOrIds) {
    const { row, name } = typeof text === 'string' ? findImage(context, text, platform) : findHandle(context, text)
    assertOwnImage(context, row.id)
    const entry = found.get(row.id) ?? { row, names: new Set<string>() }
    if (typeof text !== 'string' && text.as) for (const given of text.as) entry.names.add(given)
    else if ((typeof text !== 'string' || isNamed(text, row.id)) && name !== row.id) entry.names.add(name)
    found.set(row.id, entry)
  }
  return [...found.values()].map(({ row, names }) => ({
    row,
    names: [...names],
    layers: listImageLayers(context.db, row.id),
    manifests: listImageManifests(context.db, row.id).flatMap(knownManifest),
  }))
}

/** The image of a handle, by its name only if that is still its own. */
function findHandle(context: Context, { id, name }: ImageHandle): FoundImage {
  const { row } = findImage(context, id, context.platform)
  const full = listImageNames(context.db, id).find((one) => one.name === name || one.name.endsWith(`/${name}`))
  return { row, name: full?.name ?? id, named: full !== undefined }
}

/** Whoever asks by id or digest asks for no name. */
function isNamed(text: string, id: string): boolean {
  return !text.includes('@') && !text.startsWith('sha256:') && !id.startsWith(text)
}

function knownManifest({ digest, mediaType, bytes, signatures }: ImageManifestRow): ImageToSave['manifests'] {
  if (mediaType === MEDIA_TYPES.dockerManifestV1 || mediaType === MEDIA_TYPES.dockerManifestV1Signed) return []
  const raw = { digest, mediaType, bytes: Buffer.from(bytes) }
  const parsed = parseManifest(raw)
  return parsed.kind === 'image' ? [{ raw, manifest: parsed.manifest, signatures: signatureFiles(signatures, digest) }] : []
}

/**
 * An image as it goes out. The config is the exact bytes, so the image ID stays; a manifest that came is kept if it
 * describes the very layers that are written, else a new one takes over its annotations. Signatures are about a manifest:
 * they go with the one that they came with, and with no other.
 */
export function savedImage(image: ImageToSave, blobs: ReadonlyMap<Digest, LayerBlob>, format: string): SavedImage {
  const { row, names, layers: rows } = image
  const layers = rows.map(({ diffId }) => blobs.get(diffId) as LayerBlob)
  const config = Buffer.from(row.config)
  const configDigest = image.manifests[0]?.manifest.config.digest ?? digestOf(config)
  const kept = image.manifests.find(({ manifest }) => fits(manifest, layers, format))
  const manifest = kept?.raw ?? newManifest(image, { config, configDigest, layers })
  const signatures = format === 'dir' ? (kept?.signatures ?? []) : []
  return {
    names,
    config,
    configDigest,
    manifest: { ...manifest, mediaType: kept?.manifest.mediaType ?? manifest.mediaType },
    layers,
    signatures,
  }
}

function fits(manifest: ImageManifest, layers: readonly LayerBlob[], format: string): boolean {
  // Only the dir transport is at home with Docker's media types.
  if (manifest.mediaType !== MEDIA_TYPES.ociManifest && format !== 'dir') return false
  return manifest.layers.length === layers.length && manifest.layers.every(({ digest }, position) => digest === layers[position]?.digest)
}

function newManifest(
  { manifests }: ImageToSave,
  { config, configDigest, layers }: { config: Buffer; configDigest: Digest; layers: readonly LayerBlob[] },
): RawManifest {
  const mediaType = MEDIA_TYPES.ociManifest
  const annotations = manifests.find(({ manifest }) => manifest.annotations)?.manifest.annotations
  const document: ImageManifest = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: config.length },
    layers: layers.map(({ mediaType: type, digest, size }): Descriptor => ({ mediaType: type, digest, size })),
    ...(annotations && { annotations }),
  }
  const bytes = Buffer.from(JSON.stringify(document))
  return { mediaType, digest: digestOf(bytes), bytes }
}
