import type { RawManifest } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'
import { digestHex } from '../spec/digest.ts'
import { parseStrictJson } from '../spec/json.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { DIR_MANIFEST_FILE, DIR_VERSION_FILE, dirBlobName } from './dir.ts'
import { DOCKER_MANIFEST_FILE } from './docker-archive.ts'
import type { FileSink, SinkContent } from './file-sink.ts'
import { CONTAINERD_NAME, REF_NAME } from './image-names.ts'
import { blobName, OCI_INDEX_FILE, OCI_LAYOUT_FILE } from './oci-layout.ts'

/** An image on its way out. */
export interface SavedImage {
  /** Full names. */
  readonly names: readonly string[]
  readonly config: Buffer
  readonly configDigest: Digest
  readonly manifest: RawManifest
  /** Bottom first, as its manifest has them. */
  readonly layers: readonly (SinkContent & { readonly diffId: Digest })[]
  /** Signatures of this very manifest, as files. Only the `dir` transport has a place for them. */
  readonly signatures: readonly Buffer[]
}

/**
 * Writes images as an OCI layout. Layers come first and the index last, so that what was cut short is no layout.
 *
 * @param existing - `index.json` of a layout that is added to; entries with one of the names are replaced
 */
export async function writeOciLayout(sink: FileSink, images: readonly SavedImage[], existing?: Buffer): Promise<void> {
  for (const { config, configDigest, manifest, layers } of images) {
    for (const layer of layers) await sink.add(blobName(layer.digest), layer)
    await sink.add(blobName(configDigest), bytesContent(config, configDigest))
    await sink.add(blobName(manifest.digest), bytesContent(manifest.bytes, manifest.digest))
  }
  await writeLayoutIndex(sink, images, existing)
}

/** What an index of a layout says of an image. */
type ListedImage = Pick<SavedImage, 'names' | 'manifest'>

/** Completes a layout whose blobs are there. */
export async function writeLayoutIndex(sink: FileSink, images: readonly ListedImage[], existing?: Buffer): Promise<void> {
  const added = images.flatMap(indexEntries)
  const refs = new Set(images.flatMap(({ names }) => names))
  const digests = new Set(images.map(({ manifest }) => manifest.digest as string))
  const kept = existingEntries(existing).filter(({ digest, annotations }) => {
    const ref = annotations?.[REF_NAME]
    return ref === undefined ? !digests.has(digest) : !refs.has(ref)
  })
  await sink.write(OCI_LAYOUT_FILE, json({ imageLayoutVersion: '1.0.0' }))
  await sink.write(OCI_INDEX_FILE, json({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [...kept, ...added] }))
}

/** Writes images as `docker save` does: layers uncompressed, named by their diff IDs. */
export async function writeDockerArchive(sink: FileSink, images: readonly SavedImage[]): Promise<void> {
  const entries: object[] = []
  for (const { config, configDigest, layers, names } of images) {
    const layerName = (diffId: Digest) => `${digestHex(diffId)}.tar`
    for (const layer of layers) await sink.add(layerName(layer.diffId), layer)
    const configName = `${digestHex(configDigest)}.json`
    await sink.add(configName, bytesContent(config, configDigest))
    entries.push({ Config: configName, RepoTags: names, Layers: layers.map(({ diffId }) => layerName(diffId)) })
  }
  await sink.write(DOCKER_MANIFEST_FILE, json(entries))
}

/** Writes one image as the `dir` transport does, its signatures included. */
export async function writeDir(sink: FileSink, { config, configDigest, manifest, layers, signatures }: SavedImage): Promise<void> {
  for (const layer of layers) await sink.add(dirBlobName(layer.digest), layer)
  await sink.add(dirBlobName(configDigest), bytesContent(config, configDigest))
  for (const [position, signature] of signatures.entries()) await sink.write(`signature-${position + 1}`, signature)
  await writeDirVersion(sink)
  await sink.write(DIR_MANIFEST_FILE, manifest.bytes)
}

export function writeDirVersion(sink: FileSink): Promise<void> {
  return sink.write(DIR_VERSION_FILE, Buffer.from('Directory Transport Version: 1.1\n'))
}

function indexEntries({ names, manifest }: ListedImage): object[] {
  const descriptor = { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.length }
  if (names.length === 0) return [descriptor]
  // A bare tag, which `oci:path:tag` gives, is no name for Docker and containerd.
  const annotations = (name: string) => ({ ...(/[:/]/.test(name) && { [CONTAINERD_NAME]: name }), [REF_NAME]: name })
  return names.map((name) => ({ ...descriptor, annotations: annotations(name) }))
}

interface IndexEntry {
  readonly digest: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** Entries as they are, with everything in them: the layout has been read, and so proven, by whoever gives it. */
function existingEntries(index: Buffer | undefined): IndexEntry[] {
  if (index === undefined) return []
  return (parseStrictJson(index.toString('utf8'), { what: OCI_INDEX_FILE }) as { manifests: IndexEntry[] }).manifests
}

/** Bytes in memory as content. */
export function bytesContent(bytes: Buffer, digest: Digest): SinkContent {
  async function* open() {
    yield bytes
  }
  return { size: bytes.length, digest, open }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
