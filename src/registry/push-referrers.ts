import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Descriptor, RawManifest } from '../spec/descriptor.ts'
import { type Digest, digestOf } from '../spec/digest.ts'
import { parseManifest } from '../spec/manifest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { fallbackTag } from './listings.ts'
import { getManifest } from './manifests.ts'
import type { PushPlace } from './push-place.ts'
import { withRetry } from './retry.ts'

/* The list of referrers for registries that keep none. @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema */

export interface ReferrersTag {
  readonly place: PushPlace
  readonly subject: Digest
  readonly put: (selector: string, index: RawManifest) => Promise<unknown>
}

/** The manifest that a manifest refers to. @throws ERR_MANIFEST_INVALID, ERR_MANIFEST_UNSUPPORTED */
export function subjectOf(raw: RawManifest): Descriptor | undefined {
  const parsed = parseManifest(raw)
  return (parsed.kind === 'image' ? parsed.manifest : parsed.index).subject
}

/** Adds a manifest to the list behind its subject's tag, unless it is there. */
export async function extendReferrersTag(tag: ReferrersTag, raw: RawManifest): Promise<void> {
  const selector = fallbackTag(tag.subject)
  const entries = await currentEntries(tag, selector)
  if (entries.some(({ digest }) => digest === raw.digest)) return
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [...entries, entryFor(raw)] }
  const bytes = Buffer.from(JSON.stringify(document))
  await tag.put(selector, { bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociIndex })
}

async function currentEntries({ place, subject }: ReferrersTag, selector: string): Promise<readonly Descriptor[]> {
  const { session, endpoint, policy, signal } = place
  try {
    const found = await withRetry(() => getManifest(session, endpoint, { selector, signal }), { policy, signal })
    const parsed = parseManifest(found)
    if (parsed.kind === 'index') return parsed.index.manifests
  } catch (error) {
    if (isPodlibError(error, 'ERR_MANIFEST_NOT_FOUND')) return []
    throw error
  }
  const { registry, repository } = endpoint
  throw new PodlibError(
    'ERR_REGISTRY_PROTOCOL',
    `the tag ${selector} of ${registry}/${repository} is where the referrers of ${subject} are listed, but it is no list; remove or rename it`,
    { details: { registry, repository, tag: selector } },
  )
}

/** What the list says of a manifest: by the specification its annotations, and its type or else that of its config. */
function entryFor(raw: RawManifest): Descriptor {
  const parsed = parseManifest(raw)
  const { artifactType, annotations, mediaType } = parsed.kind === 'image' ? parsed.manifest : parsed.index
  const type = artifactType ?? (parsed.kind === 'image' ? parsed.manifest.config.mediaType : undefined)
  const entry = { mediaType, digest: raw.digest, size: raw.bytes.length }
  return { ...entry, ...(annotations && { annotations }), ...(type !== undefined && { artifactType: type }) }
}
