import { PodlibError } from '../errors/errors.ts'
import { type Digest, digestAlgorithm, digestMismatch, digestOf, isDigest } from '../spec/digest.ts'
import { bareMediaType } from '../spec/manifest.ts'
import { schemaOneDigest } from '../spec/manifest-v1.ts'
import { ACCEPTED_MANIFESTS, MEDIA_TYPES } from '../spec/media-types.ts'
import { header, readBody, refuseEncoding } from './body.ts'
import type { HttpResponse } from './http.ts'
import { protocolError, type RequestContext } from './registry-errors.ts'
import type { Session, SessionRequest } from './session.ts'
import type { Endpoint, FetchedManifest, ManifestHead, RegistryTarget } from './types.ts'

/** Bodies of manifests, configs and lists may have this many bytes. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024

const TAG = /^\w[\w.-]{0,127}$/
const SCHEMA_1: ReadonlySet<string> = new Set([MEDIA_TYPES.dockerManifestV1, MEDIA_TYPES.dockerManifestV1Signed])

/** The part of a reference that goes into the URL. @throws ERR_INVALID_REFERENCE */
export function manifestSelector({ registry, repository, tag, digest }: RegistryTarget): string {
  const selector = digest ?? tag ?? 'latest'
  if (isDigest(selector) || (digest === undefined && TAG.test(selector))) return selector
  throw new PodlibError('ERR_INVALID_REFERENCE', `${JSON.stringify(selector.slice(0, 150))} is neither a tag nor a digest`, {
    details: { registry, repository },
  })
}

/** Gets the exact bytes of a manifest and proves them against a requested digest. One try. */
export async function getManifest(
  session: Session,
  endpoint: Endpoint,
  { selector, signal }: { selector: string; signal: AbortSignal | undefined },
): Promise<FetchedManifest> {
  const request = manifestRequest(endpoint, selector, signal)
  const response = await session.open(request)
  refuseEncoding(response, request.context.what)
  const bytes = await readBody(response, { maxBytes: MAX_DOCUMENT_BYTES, what: 'manifest' })
  const mediaType = bareMediaType(header(response, 'content-type'))
  const digest = proveDigest(bytes, mediaType, { selector, response, context: request.context })
  return { mediaType, digest, bytes, endpoint }
}

/** Asks for a manifest's type and digest only; registries do not count this against their limits. One try. */
export async function headManifest(
  session: Session,
  endpoint: Endpoint,
  { selector, signal }: { selector: string; signal: AbortSignal | undefined },
): Promise<ManifestHead> {
  const response = await session.open({ ...manifestRequest(endpoint, selector, signal), method: 'HEAD' })
  response.body.destroy()
  const digest = header(response, 'docker-content-digest')
  const size = header(response, 'content-length')
  return {
    mediaType: bareMediaType(header(response, 'content-type')),
    digest: isDigest(digest) ? digest : undefined,
    size: size !== undefined && /^\d{1,15}$/.test(size) ? Number(size) : undefined,
    endpoint,
  }
}

/** Asks for the length of a blob. One try. */
export async function headBlob(
  session: Session,
  endpoint: Endpoint,
  { digest, signal }: { digest: Digest; signal: AbortSignal | undefined },
): Promise<number> {
  const { registry, repository } = endpoint
  const context: RequestContext = { endpoint, wanted: 'blob', what: `blob ${registry}/${repository}@${digest}` }
  const response = await session.open({ context, path: `/v2/${repository}/blobs/${digest}`, headers: {}, signal, method: 'HEAD' })
  response.body.destroy()
  const length = header(response, 'content-length')
  if (length === undefined || !/^\d{1,15}$/.test(length)) throw protocolError(context, 'it does not say how long it is')
  return Number(length)
}

function manifestRequest(endpoint: Endpoint, selector: string, signal: AbortSignal | undefined): SessionRequest {
  const { registry, repository } = endpoint
  const context: RequestContext = {
    endpoint,
    wanted: 'manifest',
    what: `manifest ${registry}/${repository}${isDigest(selector) ? '@' : ':'}${selector}`,
  }
  return { context, path: `/v2/${repository}/manifests/${selector}`, headers: { accept: ACCEPTED_MANIFESTS.join(', ') }, signal }
}

interface ProveOptions {
  readonly selector: string
  readonly response: HttpResponse
  readonly context: RequestContext
}

// The digest is that of the bytes; what the registry says of it only serves to find out that one is wrong.
function proveDigest(bytes: Buffer, mediaType: string, { selector, response, context }: ProveOptions): Digest {
  const requested = isDigest(selector) ? selector : undefined
  // The digest of a signed schema 1 manifest leaves out the signatures in it.
  const digestBy = SCHEMA_1.has(mediaType) ? schemaOneDigest : digestOf
  const actual = digestBy(bytes, requested ? digestAlgorithm(requested) : 'sha256')
  if (requested && actual !== requested) throw digestMismatch(requested, actual, `the ${context.what}`)
  const claimed = header(response, 'docker-content-digest')
  if (claimed !== undefined && !isDigest(claimed)) throw protocolError(context, 'its Docker-Content-Digest is no digest')
  if (claimed && digestAlgorithm(claimed) === digestAlgorithm(actual) && claimed !== actual) {
    throw digestMismatch(claimed, actual, `the ${context.what}`)
  }
  return actual
}
