import { isPodlibError } from '../errors/errors.ts'
import type { BlobRetry } from './blob.ts'
import { pushScope } from './push-place.ts'
import { delayAfter, isRetryable, sleep, withRetry } from './retry.ts'
import { askForBlob, cancelUpload, isHome, patchBlob, putBlob, startUpload, type UploadTarget, uploadStatus } from './upload.ts'
import { provenBody, type UploadContent } from './upload-body.ts'
import { isLostUpload } from './upload-errors.ts'

/** One blob on its way into one repository. */
export interface BlobPushRequest extends UploadTarget {
  readonly content: UploadContent
  /** Repositories of the same registry, as it calls them. */
  readonly mounts: readonly string[]
  readonly onProgress?: ((bytes: number) => void) | undefined
  readonly onRetry?: ((retry: BlobRetry) => void) | undefined
}

/** Progress after which earlier failures no longer count. */
const FRESH_START_BYTES = 1024 * 1024

/** Brings a blob into a repository by the least that is needed. */
export async function pushBlob(request: BlobPushRequest): Promise<'present' | 'mounted' | 'uploaded'> {
  // One scope for all that is sent, so that one token does: for the look, the mount and the upload.
  const begun = await begin({ ...request, scope: pushScope(request.endpoint, request.mounts) })
  if (typeof begun === 'string') return begun
  await upload(begun.request, begun.location)
  return 'uploaded'
}

/** Whether the endpoint has the blob. */
export async function hasBlob(target: UploadTarget): Promise<boolean> {
  const { policy, signal } = target
  try {
    await withRetry(() => askForBlob(target), { policy, signal })
    return true
  } catch (error) {
    if (isPodlibError(error, 'ERR_BLOB_NOT_FOUND')) return false
    throw error
  }
}

async function begin(request: BlobPushRequest): Promise<{ request: BlobPushRequest; location: URL } | 'present' | 'mounted'> {
  const { endpoint, mounts, policy, signal } = request
  try {
    if (await hasBlob(request)) return 'present'
    const location = await withRetry(() => startUpload(request, mounts[0]), { policy, signal })
    return location === 'mounted' ? location : { request, location }
  } catch (error) {
    const status = refusedWith(error)
    if (mounts.length === 0 || status === undefined) throw error
    // A token that reads the other repositories too may not be had, or this mount not be possible. Who was
    // not let in is not asked to name repositories until one fits: that would look like guessing.
    const left = status === 401 || status === 403 ? [] : mounts.slice(1)
    return begin({ ...request, mounts: left, scope: pushScope(endpoint, left) })
  }
}

/** The status of an answer that another try would not change. */
function refusedWith(error: unknown): number | undefined {
  if (!isPodlibError(error) || isRetryable(error)) return undefined
  const { status } = error.details
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined
}

interface Progress {
  location: URL
  /** Bytes that the registry has. */
  offset: number
  /** What was wrong with the bytes that were to be sent, which no other try changes. */
  failure?: { readonly error: unknown } | undefined
}

async function upload(request: BlobPushRequest, location: URL): Promise<void> {
  const { policy, signal, endpoint, onRetry } = request
  let progress: Progress = { location, offset: 0 }
  let freshFrom = 0
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await deliver(request, progress)
      } catch (error) {
        if (progress.failure) throw progress.failure.error
        const lost = isLostUpload(error, progress.offset)
        if (signal?.aborted || tries >= policy.attempts || !(lost || isRetryable(error))) throw error
        await sleep(delayAfter(error, policy, tries), signal)
        const next = (lost ? undefined : await whereItIs(request, progress)) ?? (await startAgain(request, progress))
        if (next === undefined) return
        progress = next
        if (progress.offset - freshFrom >= FRESH_START_BYTES) {
          freshFrom = progress.offset
          tries = 0
        }
        onRetry?.({ registry: endpoint.registry, offset: progress.offset, error })
      }
    }
  } catch (error) {
    await cancelUpload(request, progress.location)
    if (signal?.aborted) throw signal.reason
    throw error
  }
}

async function deliver(request: BlobPushRequest, progress: Progress): Promise<void> {
  const { content, onProgress } = request
  const { location, offset } = progress
  const body = provenBody(content, { offset, onProgress })
  try {
    if (offset === 0) return await putBlob(request, location, body)
    // All of it was proven before the last of it was sent.
    if (offset < content.size) progress.location = await patchBlob(request, { location, received: offset }, body)
    await putBlob(request, progress.location)
  } catch (error) {
    progress.failure = body.failure
    throw error
  }
}

/** Where an upload that broke goes on; undefined where the registry has kept nothing of it. */
async function whereItIs(request: BlobPushRequest, { location }: Progress): Promise<Progress | undefined> {
  const { content, policy, signal } = request
  if (!isHome(request, location)) return undefined
  try {
    const status = await withRetry(() => uploadStatus(request, location), { policy, signal })
    return status.received > 0 && status.received <= content.size ? { location: status.location, offset: status.received } : undefined
  } catch (error) {
    // Whatever it answers, a new upload may do better; if it does not answer, none will.
    if (signal?.aborted || isRetryable(error)) throw error
    return undefined
  }
}

/** Undefined when it turns out that the last upload was complete, and only the answer to it got lost. */
async function startAgain(request: BlobPushRequest, { location }: Progress): Promise<Progress | undefined> {
  await cancelUpload(request, location)
  const begun = await begin({ ...request, mounts: [] })
  return typeof begun === 'string' ? undefined : { location: begun.location, offset: 0 }
}
