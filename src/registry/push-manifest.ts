import { PodlibError } from '../errors/errors.ts'
import type { RawManifest } from '../spec/descriptor.ts'
import { assertDigest, type Digest, digestAlgorithm, digestMismatch, isDigest } from '../spec/digest.ts'
import type { FairLock } from '../util/fair-lock.ts'
import { drain, header } from './body.ts'
import { MAX_DOCUMENT_BYTES, manifestSelector } from './manifests.ts'
import { type PushPlace, pushScope } from './push-place.ts'
import { extendReferrersTag, subjectOf } from './push-referrers.ts'
import type { RequestContext } from './registry-errors.ts'
import { withRetry } from './retry.ts'
import type { RegistryTarget } from './types.ts'

/** Where a manifest is pushed to. */
export interface ManifestPlace extends PushPlace {
  /** Held while the list behind a referrers tag is read and written: of two at once, one would lose the other's entry. */
  readonly referrersTags: FairLock
}

/** What a manifest is called there. */
export type ManifestName = Pick<RegistryTarget, 'tag' | 'digest'>

/**
 * Puts a manifest under a name, and makes sure that it is found by its subject if it has one.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests-with-subject
 */
export async function pushManifest(
  place: ManifestPlace,
  { tag, digest }: ManifestName,
  raw: RawManifest,
): Promise<{ digest: Digest; subjectHandled: boolean }> {
  const { registry, repository } = place.endpoint
  assertDigest(raw.digest, raw.bytes, `the manifest to be pushed to ${registry}/${repository}`)
  if (digest !== undefined && digest !== raw.digest) throw digestMismatch(digest, raw.digest, 'the manifest to be pushed')
  const subject = subjectOf(raw)
  const selector = manifestSelector({ ...place.endpoint, ...(tag === undefined ? { digest: raw.digest } : { tag }) })
  const subjectHandled = await putManifest(place, selector, raw)
  if (subject && !subjectHandled) {
    const release = await place.referrersTags.acquire({ signal: place.signal })
    const put = (name: string, index: RawManifest) => putManifest(place, name, index)
    await extendReferrersTag({ place, subject: subject.digest, put }, raw).finally(release)
  }
  return { digest: raw.digest, subjectHandled }
}

/** @returns whether the registry says that it lists the manifest as a referrer of its subject */
async function putManifest({ session, endpoint, policy, signal }: PushPlace, selector: string, raw: RawManifest): Promise<boolean> {
  const { registry, repository } = endpoint
  const { bytes, mediaType } = raw
  const what = `push of manifest ${registry}/${repository}${isDigest(selector) ? '@' : ':'}${selector}`
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw new PodlibError('ERR_MANIFEST_INVALID', `the manifest has ${bytes.length} bytes; registries take ${MAX_DOCUMENT_BYTES} at most`, {
      details: { registry, repository, size: bytes.length, maxBytes: MAX_DOCUMENT_BYTES },
    })
  }
  const context: RequestContext = { endpoint, wanted: 'push', what }
  const path = `/v2/${repository}/manifests/${selector}`
  const headers = { 'content-type': mediaType }
  const attempt = async () => {
    const response = await session.open({ context, path, method: 'PUT', headers, body: bytes, scope: pushScope(endpoint), signal })
    await drain(response)
    return response
  }
  const response = await withRetry(attempt, { policy, signal })
  const claimed = header(response, 'docker-content-digest')
  if (isDigest(claimed) && digestAlgorithm(claimed) === digestAlgorithm(raw.digest) && claimed !== raw.digest) {
    throw digestMismatch(raw.digest, claimed, `what ${registry} made of the manifest that was pushed to ${repository}`)
  }
  return header(response, 'oci-subject') !== undefined
}
