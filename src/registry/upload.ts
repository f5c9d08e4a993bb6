import { type Digest, digestAlgorithm, digestMismatch, isDigest } from '../spec/digest.ts'
import { drain, header } from './body.ts'
import type { HttpResponse, StreamedBody } from './http.ts'
import type { PushPlace } from './push-place.ts'
import { protocolError, type RequestContext } from './registry-errors.ts'
import { redirectTarget } from './session.ts'
import { wireHost } from './types.ts'

/* The requests that an upload consists of, each one try. @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push */

/** What all requests of one upload have in common. */
export interface UploadTarget extends PushPlace {
  readonly digest: Digest
  /** What a token has to allow; the reading of the repository if absent. */
  readonly scope?: string
}

/** How far an upload is, by what the registry says. */
export interface UploadStatus {
  readonly location: URL
  /** Bytes that it has. */
  readonly received: number
}

/** Cancelling has to come to an end also where nobody answers. */
const CANCEL_MS = 5000
const BINARY = { 'content-type': 'application/octet-stream' }

/** Asks for a blob's headers. @throws ERR_BLOB_NOT_FOUND */
export async function askForBlob({ session, endpoint, digest, scope, signal }: UploadTarget): Promise<void> {
  const { registry, repository } = endpoint
  const context: RequestContext = { endpoint, wanted: 'blob', what: `blob ${registry}/${repository}@${digest}` }
  const path = `/v2/${repository}/blobs/${digest}`
  await drain(await session.open({ context, path, method: 'HEAD', scope, signal }))
}

/** Opens an upload, or mounts the blob from another repository if that has it. */
export async function startUpload(target: UploadTarget, from: string | undefined): Promise<URL | 'mounted'> {
  const { session, endpoint, digest, scope, signal } = target
  const context: RequestContext = { ...uploadContext(target), wanted: 'upload-start' }
  const query = from === undefined ? '' : `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`
  const path = `/v2/${endpoint.repository}/blobs/uploads/${query}`
  const response = await session.open({ context, path, method: 'POST', scope, signal })
  await drain(response)
  if (response.status === 201 && from !== undefined) {
    proveAnswer(response, target)
    return 'mounted'
  }
  if (response.status !== 202) throw protocolError(context, `the unexpected status ${response.status}`)
  return uploadLocation(response, context)
}

/** Sends all of a blob and closes the upload. */
export async function putBlob(target: UploadTarget, location: URL, body?: StreamedBody): Promise<void> {
  const { session, digest, scope, signal } = target
  const context = uploadContext(target)
  // Not through `searchParams`, which would write the registry's own parameters in another way.
  const path = new URL(location)
  path.search += `${path.search === '' ? '?' : '&'}digest=${encodeURIComponent(digest)}`
  const response = await session.open({ context, path, method: 'PUT', headers: BINARY, body, scope, signal })
  await drain(response)
  if (response.status === 202) throw protocolError(context, 'it does not close the upload')
  proveAnswer(response, target)
}

/** Sends the rest of a blob that has been begun; gives where the upload is to be closed. */
export async function patchBlob(target: UploadTarget, { location, received }: UploadStatus, body: StreamedBody): Promise<URL> {
  const { session, scope, signal } = target
  const context = uploadContext(target)
  // Without unit and total: this is the protocol's own header, not that of RFC 9110.
  const headers = { ...BINARY, 'content-range': `${received}-${received + body.size - 1}` }
  const response = await session.open({ context, path: location, method: 'PATCH', headers, body, scope, signal })
  await drain(response)
  return uploadLocation(response, context)
}

/** Asks how much of a blob the registry has. */
export async function uploadStatus(target: UploadTarget, location: URL): Promise<UploadStatus> {
  const { session, scope, signal } = target
  const context = uploadContext(target)
  const response = await session.open({ context, path: location, scope, signal })
  await drain(response)
  const moved = header(response, 'location') === undefined ? location : uploadLocation(response, context)
  return { location: moved, received: receivedBytes(response) ?? 0 }
}

/** Tells the registry to forget an upload. Not done by all, and never worth an error of its own. */
export async function cancelUpload(target: UploadTarget, location: URL): Promise<void> {
  const { session, endpoint } = target
  if (!isHome(target, location)) return
  const scope = `repository:${endpoint.repository}:pull,push,delete`
  const request = {
    context: uploadContext(target),
    path: location,
    method: 'DELETE',
    scope,
    signal: AbortSignal.timeout(CANCEL_MS),
  } as const
  await session.open(request).then(drain, () => {})
}

/**
 * Whether an upload goes to the registry itself. Links to other hosts are for sending bytes and no more: whatever
 * else a registry could have podlib ask there, and above all delete, is not its own.
 */
export function isHome({ endpoint }: UploadTarget, location: URL): boolean {
  return location.origin === new URL(`${location.protocol}//${wireHost(endpoint.registry)}`).origin
}

function uploadContext({ endpoint, digest }: UploadTarget): RequestContext {
  return { endpoint, wanted: 'upload', what: `upload of blob ${endpoint.registry}/${endpoint.repository}@${digest}` }
}

/** @throws ERR_REGISTRY_PROTOCOL also for a way from https to http, which proxies that hide TLS from a registry cause */
function uploadLocation(response: HttpResponse, context: RequestContext): URL {
  const location = header(response, 'location')
  const url = location === undefined ? undefined : redirectTarget(location, response.url)
  if (url) return url
  throw protocolError(
    context,
    location === undefined
      ? 'it does not say where the bytes go'
      : 'its Location is no URL or leads from https to http; a proxy before the registry has to send X-Forwarded-Proto',
  )
}

// `0-0` is one byte by the specification and none by its best-known implementation: taken for none, nothing is lost.
function receivedBytes(response: HttpResponse): number | undefined {
  const [, end] = /^(?:bytes[= ])?0-(\d{1,15})$/.exec(header(response, 'range') ?? '') ?? []
  if (end === undefined) return undefined
  return end === '0' ? 0 : Number(end) + 1
}

/** The registry may say which digest it has given to what it got. */
function proveAnswer(response: HttpResponse, { endpoint, digest }: UploadTarget): void {
  const claimed = header(response, 'docker-content-digest')
  if (!isDigest(claimed) || digestAlgorithm(claimed) !== digestAlgorithm(digest) || claimed === digest) return
  throw digestMismatch(digest, claimed, `what ${endpoint.registry} made of the blob that was pushed to ${endpoint.repository}`)
}
