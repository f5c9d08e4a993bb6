import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { ImageManifest, RawManifest } from '../spec/descriptor.ts'
import type { ImageConfig } from '../spec/image.ts'
import { parseStrictJson } from '../spec/json.ts'
import { assertRunnableImage, type ParsedManifest, parseManifest } from '../spec/manifest.ts'
import { parseSchemaOne, type SchemaOneManifest, schemaOneDigest } from '../spec/manifest-v1.ts'
import { formatPlatform, normalizePlatform, type Platform, platformMatches, selectPlatform } from '../spec/platform.ts'
import { validateImageConfig } from '../spec/validate.ts'
import type { ManifestSource } from '../transport/image-source.ts'

/** The manifest of one image, and the index that it was chosen from. */
export interface SelectedManifest {
  readonly raw: RawManifest
  readonly manifest: ImageManifest | SchemaOneManifest
  readonly index: RawManifest | undefined
}

/** An index may lead to an index, as OCI 1.1 allows; deeper nesting serves nobody. */
const MAX_DEPTH = 2

/** Reads the manifest that a source leads to on a platform. */
export async function selectManifest(source: ManifestSource, platform: Platform, signal?: AbortSignal): Promise<SelectedManifest> {
  let raw = await source.manifest(undefined, signal)
  let index: RawManifest | undefined
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const parsed = parseAnyManifest(raw)
    // Its digest is not that of its bytes.
    if (parsed.kind === 'schema-1') return { raw: { ...raw, digest: schemaOneDigest(raw.bytes) }, manifest: parsed.manifest, index }
    if (parsed.kind === 'image') {
      assertRunnableImage(parsed.manifest)
      return { raw, manifest: parsed.manifest, index }
    }
    // The signature of the outermost index is the one that a publisher makes.
    index ??= raw
    raw = await source.manifest(selectPlatform(parsed.index, platform).digest, signal)
  }
  throw new PodlibError('ERR_MANIFEST_INVALID', `the index ${index?.digest} leads through more than ${MAX_DEPTH} further indexes`, {
    details: { digest: index?.digest },
  })
}

function parseAnyManifest(raw: RawManifest): ParsedManifest | { readonly kind: 'schema-1'; readonly manifest: SchemaOneManifest } {
  try {
    return parseManifest(raw)
  } catch (error) {
    if (!isPodlibError(error, 'ERR_MANIFEST_UNSUPPORTED')) throw error
    return { kind: 'schema-1', manifest: parseSchemaOne(raw) }
  }
}

/** Reads an image config, which is a stranger's: no member twice, nothing of a wrong type. @throws ERR_IMAGE_CONFIG_INVALID */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const text = Buffer.from(bytes).toString('utf8')
  return validateImageConfig(parseStrictJson(text, { what: 'the image config', code: 'ERR_IMAGE_CONFIG_INVALID' }))
}

/** @throws ERR_PLATFORM_MISMATCH */
export function assertPlatform(offer: Platform, wanted: Platform): void {
  const offered = normalizePlatform(offer)
  if (platformMatches(offered, wanted)) return
  throw new PodlibError(
    'ERR_PLATFORM_MISMATCH',
    `the image is for ${formatPlatform(offered)}, not for ${formatPlatform(wanted)}; give platform: '${formatPlatform(offered)}' to take it all the same`,
    { details: { offered, wanted } },
  )
}
