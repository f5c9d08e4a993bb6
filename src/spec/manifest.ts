import { PodlibError } from '../errors/errors.ts'
import type { Descriptor, ImageIndex, ImageManifest, RawManifest } from './descriptor.ts'
import { isDigest } from './digest.ts'
import type { ImageConfig } from './image.ts'
import { foldCase, parseStrictJson } from './json.ts'
import { isImageConfigType, MEDIA_TYPES } from './media-types.ts'
import { normalizePlatform } from './platform.ts'

/** A manifest after {@link parseManifest}: one image (or artifact), or a list of manifests. @public */
export type ParsedManifest =
  | { readonly kind: 'image'; readonly manifest: ImageManifest }
  | { readonly kind: 'index'; readonly index: ImageIndex }

type Kind = 'image' | 'index' | 'v1'

/** The members that make a document one kind; having those of two kinds is CVE-2021-41190. */
const ESSENTIAL: Readonly<Record<Kind, readonly string[]>> = {
  image: ['config', 'layers'],
  index: ['manifests'],
  v1: ['fsLayers', 'history'],
}
const KNOWN_MEMBERS = [...Object.values(ESSENTIAL).flat(), 'schemaVersion', 'mediaType', 'artifactType', 'subject', 'annotations']
const FREE_MAPS: ReadonlySet<string> = new Set(['annotations'])
const TYPE_KIND: Readonly<Record<string, Kind>> = {
  [MEDIA_TYPES.ociManifest]: 'image',
  [MEDIA_TYPES.dockerManifest]: 'image',
  [MEDIA_TYPES.ociIndex]: 'index',
  [MEDIA_TYPES.dockerList]: 'index',
  [MEDIA_TYPES.dockerManifestV1]: 'v1',
  [MEDIA_TYPES.dockerManifestV1Signed]: 'v1',
}
const MAX_DESCRIPTORS = 10_000
const LAYER_TYPE = /^application\/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.)/

/**
 * Parses a manifest of a registry, layout or archive. The type comes from outside (`Content-Type`,
 * descriptor) when it is one we know, else from the body; when they disagree about what the document is,
 * it is refused. Artifacts pass: {@link assertRunnableImage} tells them from images.
 *
 * @throws ERR_MANIFEST_INVALID, ERR_MANIFEST_UNSUPPORTED (Docker schema 1)
 * @public
 */
export function parseManifest(raw: RawManifest): ParsedManifest {
  const text = raw.bytes.toString('utf8')
  const document = parseStrictJson(text, { what: `manifest ${raw.digest}`, ignoreCase: true, freeMaps: FREE_MAPS })
  if (!isObject(document)) throw invalid(raw, 'is not a JSON object')
  refuseCaseVariants(document, raw)
  const kind = detectKind(document, raw)
  if (kind === 'v1') {
    throw new PodlibError(
      'ERR_MANIFEST_UNSUPPORTED',
      'the image has a Docker schema 1 manifest; rebuild it or push it again with a current tool',
      {
        details: { digest: raw.digest, mediaType: raw.mediaType },
      },
    )
  }
  if (document.schemaVersion !== 2) throw invalid(raw, 'has a schemaVersion other than 2')
  const mediaType = mediaTypeOf(document, raw, kind)
  const common = { schemaVersion: 2 as const, mediaType, ...commonMembers(document, raw) }
  if (kind === 'index') return { kind, index: { ...common, manifests: descriptors(document.manifests, 'manifests', raw) } }
  const config = descriptor(document.config, 'config', raw)
  return { kind, manifest: { ...common, config, layers: descriptors(document.layers, 'layers', raw) } }
}

/**
 * Checks that a manifest is that of a runnable image.
 *
 * @throws ERR_NOT_AN_IMAGE with the artifact's type, ERR_LAYER_ENCRYPTED
 * @public
 */
export function assertRunnableImage(manifest: ImageManifest): void {
  if (!isImageConfigType(manifest.config.mediaType)) {
    throw notAnImage(manifest.artifactType ?? manifest.config.mediaType, `its config is of type ${show(manifest.config.mediaType)}`)
  }
  for (const layer of manifest.layers) {
    if (layer.mediaType.endsWith('+encrypted')) {
      throw new PodlibError('ERR_LAYER_ENCRYPTED', `layer ${layer.digest} is encrypted; podlib cannot decrypt images`, {
        details: { digest: layer.digest, mediaType: layer.mediaType },
      })
    }
    // Cosign signatures and build attestations carry an image config, but no file system.
    if (!LAYER_TYPE.test(layer.mediaType)) {
      throw notAnImage(manifest.artifactType ?? layer.mediaType, `it has a layer of type ${show(layer.mediaType)}`)
    }
  }
}

/**
 * Checks, before any layer is fetched, that a config names one diff ID per layer.
 *
 * @throws ERR_MANIFEST_INVALID
 */
export function assertLayerCount(manifest: ImageManifest, config: Pick<ImageConfig, 'rootfs'>): void {
  const layers = manifest.layers.length
  const diffIds = config.rootfs.diff_ids.length
  if (layers === diffIds) return
  throw new PodlibError(
    'ERR_MANIFEST_INVALID',
    `the manifest has ${layers} layers but its config ${manifest.config.digest} has ${diffIds} diff IDs`,
    {
      details: { layers, diffIds, config: manifest.config.digest },
    },
  )
}

/** The media type that a header or descriptor states, without parameters. */
export function bareMediaType(value: string | undefined): string {
  return (value ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function detectKind(document: Record<string, unknown>, raw: RawManifest): Kind {
  const body = kindOfBody(document, raw)
  const declared = typeof document.mediaType === 'string' ? TYPE_KIND[document.mediaType] : undefined
  const header = TYPE_KIND[bareMediaType(raw.mediaType)]
  for (const [kind, where] of [
    [declared, 'its mediaType'],
    [header, `the type ${show(raw.mediaType)} it was sent with`],
  ] as const) {
    if (kind !== undefined && kind !== body) throw invalid(raw, `has the members of an ${body}, but ${where} says ${kind}`)
  }
  for (const [kind, members] of Object.entries(ESSENTIAL)) {
    const foreign = members.find((name) => kind !== body && name in document)
    if (foreign) throw invalid(raw, `is ambiguous: an ${body} must not have the member '${foreign}'`)
  }
  return body
}

function kindOfBody(document: Record<string, unknown>, raw: RawManifest): Kind {
  if (document.schemaVersion === 1) return 'v1'
  if ('manifests' in document) return 'index'
  if ('config' in document || 'layers' in document) return 'image'
  throw invalid(raw, "has neither 'manifests' nor 'config' and 'layers'")
}

function mediaTypeOf(document: Record<string, unknown>, raw: RawManifest, kind: 'image' | 'index'): string {
  if (typeof document.mediaType === 'string' && TYPE_KIND[document.mediaType]) return document.mediaType
  if (document.mediaType !== undefined) throw invalid(raw, `has the unknown mediaType ${show(document.mediaType)}`)
  const header = bareMediaType(raw.mediaType)
  if (TYPE_KIND[header]) return header
  if (kind === 'index') return MEDIA_TYPES.ociIndex
  const config = isObject(document.config) ? document.config.mediaType : undefined
  return config === MEDIA_TYPES.dockerConfig ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.ociManifest
}

// A reader written in Go would take `Layers` for `layers`; ours would not see it: refuse rather than differ.
function refuseCaseVariants(document: Record<string, unknown>, raw: RawManifest): void {
  for (const key of Object.keys(document)) {
    const known = KNOWN_MEMBERS.find((name) => foldCase(name) === foldCase(key))
    if (known !== undefined && known !== key) throw invalid(raw, `spells the member '${known}' as ${show(key)}`)
  }
}

function commonMembers(
  document: Record<string, unknown>,
  raw: RawManifest,
): Pick<ImageManifest, 'artifactType' | 'subject' | 'annotations'> {
  const { artifactType, subject } = document
  if (artifactType !== undefined && typeof artifactType !== 'string') throw invalid(raw, 'has an artifactType that is not a string')
  return {
    ...(artifactType && { artifactType }),
    ...(subject !== undefined && subject !== null && { subject: descriptor(subject, 'subject', raw) }),
    ...annotationsOf(document, 'the manifest', raw),
  }
}

function descriptors(value: unknown, where: string, raw: RawManifest): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(raw, `has no list '${where}'`)
  if (value.length > MAX_DESCRIPTORS) throw invalid(raw, `has more than ${MAX_DESCRIPTORS} ${where}`)
  return value.map((entry, index) => descriptor(entry, `${where}[${index}]`, raw))
}

function descriptor(value: unknown, where: string, raw: RawManifest): Descriptor {
  if (!isObject(value)) throw invalid(raw, `has no descriptor '${where}'`)
  const { mediaType, digest, size, artifactType, urls } = value
  if (typeof mediaType !== 'string' || mediaType === '' || mediaType.length > 255) throw invalid(raw, `has no media type in '${where}'`)
  if (!isDigest(digest)) throw invalid(raw, `has no sha256 or sha512 digest in '${where}'`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(raw, `has no valid size in '${where}'`)
  if (urls !== undefined && urls !== null && !(Array.isArray(urls) && urls.every((url) => typeof url === 'string'))) {
    throw invalid(raw, `has urls that are not strings in '${where}'`)
  }
  return {
    mediaType,
    digest,
    size,
    ...(Array.isArray(urls) && urls.length > 0 && { urls: urls as string[] }),
    ...annotationsOf(value, where, raw),
    ...platformOf(value, where, raw),
    ...(typeof artifactType === 'string' && artifactType !== '' && { artifactType }),
  }
}

function annotationsOf(holder: Record<string, unknown>, where: string, raw: RawManifest): Pick<Descriptor, 'annotations'> {
  const { annotations } = holder
  if (annotations === undefined || annotations === null) return {}
  if (!isObject(annotations) || !Object.values(annotations).every((text) => typeof text === 'string')) {
    throw invalid(raw, `has annotations that are not strings in '${where}'`)
  }
  return { annotations: annotations as Record<string, string> }
}

function platformOf(holder: Record<string, unknown>, where: string, raw: RawManifest): Pick<Descriptor, 'platform'> {
  const { platform } = holder
  if (platform === undefined || platform === null) return {}
  if (!isObject(platform)) throw invalid(raw, `has a malformed platform in '${where}'`)
  const { os, architecture, variant } = platform
  if (typeof os !== 'string' || typeof architecture !== 'string' || (variant !== undefined && typeof variant !== 'string')) {
    throw invalid(raw, `has a malformed platform in '${where}'`)
  }
  return { platform: normalizePlatform({ os, architecture, ...(variant && { variant }) }) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function show(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 100) ?? 'undefined'
}

function notAnImage(artifactType: string, why: string): PodlibError {
  return new PodlibError('ERR_NOT_AN_IMAGE', `this is an artifact of type ${show(artifactType)}, not a container image: ${why}`, {
    details: { artifactType },
  })
}

function invalid(raw: RawManifest, why: string): PodlibError {
  return new PodlibError('ERR_MANIFEST_INVALID', `the manifest ${raw.digest} ${why}`, {
    details: { digest: raw.digest, mediaType: raw.mediaType },
  })
}
