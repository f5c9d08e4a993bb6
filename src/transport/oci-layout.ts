import { PodlibError } from '../errors/errors.ts'
import type { Descriptor, ImageIndex } from '../spec/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf, parseDigest } from '../spec/digest.ts'
import { parseStrictJson } from '../spec/json.ts'
import { parseManifest } from '../spec/manifest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { type FileSet, readProven } from './file-set.ts'
import { CONTAINERD_NAME, fullNames, REF_NAME } from './image-names.ts'
import { MAX_DOCUMENT_BYTES, type ManifestSource } from './image-source.ts'

/** An image of a layout, with what it can be asked for by. */
export interface LayoutImage {
  readonly source: ManifestSource
  /** `org.opencontainers.image.ref.name` of its entries, as written. */
  readonly refs: readonly string[]
}

export const OCI_LAYOUT_FILE = 'oci-layout'
export const OCI_INDEX_FILE = 'index.json'

/** The name of a blob's file. A digest has passed {@link parseDigest}, so this is no way out of the layout. */
export function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(parseDigest(digest))}`
}

/**
 * The images of an OCI layout (`oci:`, `oci-archive:`), in the order of its index. Entries for one manifest are one image.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 * @throws ERR_ARCHIVE_INVALID, ERR_MANIFEST_INVALID
 */
export async function ociLayoutImages(files: FileSet, signal?: AbortSignal): Promise<LayoutImage[]> {
  await checkVersion(files, signal)
  const bytes = await files.read(OCI_INDEX_FILE, { maxBytes: MAX_DOCUMENT_BYTES, signal })
  const raw = { mediaType: MEDIA_TYPES.ociIndex, digest: digestOf(bytes), bytes }
  const parsed = parseManifest(raw)
  if (parsed.kind !== 'index') throw invalid(files, `${OCI_INDEX_FILE} is no index`)
  if (isOneImage(parsed.index)) return [{ refs: [], source: { ...layoutSource(files, undefined, []), manifest: orMember(files, raw) } }]
  const byDigest = new Map<Digest, Descriptor[]>()
  for (const entry of parsed.index.manifests) byDigest.set(entry.digest, [...(byDigest.get(entry.digest) ?? []), entry])
  return [...byDigest.values()].map((entries) => layoutImage(files, entries))
}

/**
 * Chooses an image of a layout as `oci:path:ref` or `oci:path:@index` does.
 *
 * @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS with what there is
 */
export function selectLayoutImage(images: readonly LayoutImage[], where: string, choice: { ref?: string; index?: number }): LayoutImage {
  const { ref, index } = choice
  const chosen = images.filter((image, position) => (ref === undefined ? (index ?? position) === position : image.refs.includes(ref)))
  const [first] = chosen
  const available = images.flatMap(({ refs }, position) => (refs.length > 0 ? refs : [`@${position}`]))
  if (first === undefined) {
    const wish = ref ?? (index === undefined ? 'image' : `image @${index}`)
    throw new PodlibError('ERR_IMAGE_NOT_FOUND', `${where} has no ${wish}; it has ${available.slice(0, 40).join(', ') || 'none'}`, {
      details: { where, available },
    })
  }
  if (chosen.length === 1) return first
  throw new PodlibError('ERR_IMAGE_AMBIGUOUS', `${where} has several images, say which: ${available.slice(0, 40).join(', ')}`, {
    details: { where, candidates: available },
  })
}

/** Some tools list the platforms of one image in the layout's index itself. */
function isOneImage({ manifests }: ImageIndex): boolean {
  const isPlain = ({ platform, annotations }: Descriptor) => platform && !annotations?.[REF_NAME] && !annotations?.[CONTAINERD_NAME]
  return manifests.length > 1 && manifests.every(isPlain)
}

function layoutImage(files: FileSet, entries: readonly Descriptor[]): LayoutImage {
  const refs = entries.flatMap(({ annotations }) => annotations?.[REF_NAME] ?? [])
  // Beside the full name, Docker writes the bare tag as the reference.
  const names = [
    ...fullNames(
      entries.flatMap(({ annotations }) => annotations?.[CONTAINERD_NAME] ?? []),
      'docker.io',
    ),
    ...fullNames(refs, 'localhost'),
  ]
  return { refs, source: layoutSource(files, entries[0], [...new Set(names)]) }
}

function layoutSource(files: FileSet, root: Descriptor | undefined, names: readonly string[]): ManifestSource {
  return {
    form: 'manifest',
    names,
    manifest: (digest, signal) => readManifest(files, digest === undefined ? root : { digest }, signal),
    blobBytes: ({ digest, size }, { maxBytes, signal }) => readProven(files, blobName(digest), { digest, size, maxBytes, signal }),
    blob: async ({ digest }) => ({ file: await files.locate(blobName(digest)) }),
  }
}

function orMember(files: FileSet, index: Awaited<ReturnType<ManifestSource['manifest']>>): ManifestSource['manifest'] {
  return async (digest, signal) => (digest === undefined ? index : readManifest(files, { digest }, signal))
}

async function readManifest(files: FileSet, descriptor: Partial<Descriptor> | undefined, signal: AbortSignal | undefined) {
  if (descriptor?.digest === undefined) throw invalid(files, 'it has no image')
  const { digest, size, mediaType = '' } = descriptor
  const bytes = await readProven(files, blobName(digest), {
    digest,
    ...(size !== undefined && { size }),
    maxBytes: MAX_DOCUMENT_BYTES,
    signal,
  })
  return { mediaType, digest, bytes }
}

async function checkVersion(files: FileSet, signal: AbortSignal | undefined): Promise<void> {
  const bytes = await files.read(OCI_LAYOUT_FILE, { maxBytes: 64 * 1024, signal })
  const layout = parseStrictJson(bytes.toString('utf8'), { what: `${OCI_LAYOUT_FILE} file`, code: 'ERR_ARCHIVE_INVALID' })
  const version = (layout as { imageLayoutVersion?: unknown } | null)?.imageLayoutVersion
  if (typeof version === 'string' && /^1\.\d+\.\d+$/.test(version)) return
  throw invalid(files, `its layout version is ${JSON.stringify(version)?.slice(0, 40)}, not 1.x`)
}

function invalid(files: FileSet, why: string): PodlibError {
  return new PodlibError('ERR_ARCHIVE_INVALID', `${files.where} is no usable OCI layout: ${why}`, { details: { where: files.where } })
}
