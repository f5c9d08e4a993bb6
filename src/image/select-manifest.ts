import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { FetchedManifest, RegistryTarget } from '../registry/types.ts'
import type { ImageManifest } from '../spec/descriptor.ts'
import type { ImageConfig } from '../spec/image.ts'
import { parseStrictJson } from '../spec/json.ts'
import { assertLayerCount, assertRunnableImage, parseManifest } from '../spec/manifest.ts'
import { formatPlatform, normalizePlatform, type Platform, platformMatches, selectPlatform } from '../spec/platform.ts'
import { validateImageConfig } from '../spec/validate.ts'

/** The manifest of one image, and the index that it was chosen from. */
export interface SelectedManifest {
  readonly raw: FetchedManifest
  readonly manifest: ImageManifest
  readonly index: FetchedManifest | undefined
}

/** An index may lead to an index, as OCI 1.1 allows; deeper nesting serves nobody. */
const MAX_DEPTH = 2

/** Fetches the manifest that a tag or digest leads to on a platform. */
export async function selectManifest(
  context: Context,
  target: RegistryTarget,
  platform: Platform,
  signal?: AbortSignal,
): Promise<SelectedManifest> {
  const registry = await context.registry()
  const options = { ...(signal && { signal }) }
  let raw = await registry.manifest(target, options)
  let index: FetchedManifest | undefined
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const parsed = parseManifest(raw)
    if (parsed.kind === 'image') {
      assertRunnableImage(parsed.manifest)
      return { raw, manifest: parsed.manifest, index }
    }
    // The signature of the outermost index is the one that a publisher makes.
    index ??= raw
    const { digest } = selectPlatform(parsed.index, platform)
    raw = await registry.manifest({ ...target, tag: undefined, digest }, { ...options, endpoint: raw.endpoint })
  }
  throw new PodlibError('ERR_MANIFEST_INVALID', `the index ${index?.digest} leads through more than ${MAX_DEPTH} further indexes`, {
    details: { digest: index?.digest },
  })
}

/** An image's config: the exact bytes, whose digest is the image's id, and what they say. */
export interface FetchedConfig {
  readonly bytes: Buffer
  readonly config: ImageConfig
}

/** Fetches and checks the config, before any layer: a foreign platform is found out here and not after a gigabyte. */
export async function fetchConfig(context: Context, input: FetchConfigInput): Promise<FetchedConfig> {
  const { target, selected, platform, signal } = input
  const registry = await context.registry()
  const bytes = await registry.blobBytes(target, selected.manifest.config, { endpoint: selected.raw.endpoint, ...(signal && { signal }) })
  const config = parseImageConfig(bytes)
  assertLayerCount(selected.manifest, config)
  assertPlatform(config, platform)
  return { bytes, config }
}

export interface FetchConfigInput {
  readonly target: RegistryTarget
  readonly selected: SelectedManifest
  readonly platform: Platform
  readonly signal?: AbortSignal | undefined
}

/** Reads an image config, which is a stranger's: no member twice, nothing of a wrong type. @throws ERR_IMAGE_CONFIG_INVALID */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const text = Buffer.from(bytes).toString('utf8')
  return validateImageConfig(parseStrictJson(text, { what: 'the image config', code: 'ERR_IMAGE_CONFIG_INVALID' }))
}

function assertPlatform(config: ImageConfig, wanted: Platform): void {
  const offered = normalizePlatform(config)
  if (platformMatches(offered, wanted)) return
  throw new PodlibError(
    'ERR_PLATFORM_MISMATCH',
    `the image is for ${formatPlatform(offered)}, not for ${formatPlatform(wanted)}; give platform: '${formatPlatform(offered)}' to pull it all the same`,
    { details: { offered, wanted } },
  )
}
