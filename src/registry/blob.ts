import { Readable } from 'node:stream'
import { PodlibError } from '../errors/errors.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import { header, refuseEncoding } from './body.ts'
import { policyFor, warnOfWrong } from './failover.ts'
import { connectionError, type HttpResponse } from './http.ts'
import { combinedError, protocolError, type RequestContext } from './registry-errors.ts'
import { delayAfter, isRetryable, type RetryPolicy, sleep } from './retry.ts'
import type { Endpoint, RegistryWarning } from './types.ts'

/** One place to download a blob from. */
export interface BlobSource {
  readonly context: RequestContext
  /** Asks for the blob, with a `Range` unless `offset` is 0. */
  readonly open: (range: string | undefined, signal: AbortSignal) => Promise<HttpResponse>
}

/** What a download reports when it has to start again from where it was. @public */
export interface BlobRetry {
  readonly registry: string
  /** Bytes delivered so far; they are not delivered again. */
  readonly offset: number
  readonly error: unknown
}

export interface DownloadOptions {
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>
  /** Tried in order. */
  readonly sources: readonly BlobSource[]
  readonly policy: RetryPolicy
  readonly signal?: AbortSignal | undefined
  readonly onRetry?: ((retry: BlobRetry) => void) | undefined
  /** Called with each endpoint that gives bytes, before the first of them is delivered. */
  readonly onEndpoint?: ((endpoint: Endpoint) => void) | undefined
  /** Called when an endpoint has another blob than it should, and the next one is asked. */
  readonly onWarning?: ((warning: RegistryWarning) => void) | undefined
}

/** Progress after which earlier failures no longer count. */
const FRESH_START_BYTES = 1024 * 1024

/**
 * Downloads a blob as one stream of exactly `descriptor.size` raw bytes. A connection that breaks or
 * stalls is made again from the same offset, at the same source while its budget lasts, then at the next.
 * The digest is *not* checked: whoever consumes the stream hashes it.
 */
export function downloadBlob(options: DownloadOptions): Readable {
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const chunks = generate({ ...options, signal })
  const giveUp = () => stream.destroy(options.signal?.reason)
  const stream = new Readable({
    highWaterMark: 256 * 1024,
    read() {
      chunks.next().then(
        ({ done, value }) => this.push(done ? null : value),
        (error) => this.destroy(error),
      )
    },
    destroy(error, callback) {
      options.signal?.removeEventListener('abort', giveUp)
      stop.abort(error ?? new DOMException('the download was given up', 'AbortError'))
      // Ends the generator, which lets go of the connection; what it throws then is our own abort.
      chunks.return(undefined).then(
        () => callback(error),
        () => callback(error),
      )
    },
  })
  // Also when nobody reads at the moment.
  options.signal?.addEventListener('abort', giveUp, { once: true })
  return stream
}

async function* generate(options: DownloadOptions & { readonly signal: AbortSignal }): AsyncGenerator<Buffer, undefined> {
  const { descriptor, sources, signal, onRetry, onEndpoint } = options
  if (sources.length === 0)
    throw new PodlibError('ERR_BLOB_NOT_FOUND', `nobody is left to ask for blob ${descriptor.digest}`, {
      details: { digest: descriptor.digest },
    })
  const failures: { endpoint: RequestContext['endpoint']; error: unknown }[] = []
  let offset = 0
  for (const [index, source] of sources.entries()) {
    const policy = policyFor(options.policy, index === sources.length - 1)
    const { endpoint } = source.context
    let freshFrom = offset
    let announced = false
    for (let tries = 1; ; tries++) {
      try {
        for await (const chunk of part(source, { size: descriptor.size, offset, signal })) {
          if (!announced) onEndpoint?.(endpoint)
          announced = true
          offset += chunk.length
          yield chunk
        }
        return
      } catch (error) {
        if (signal.aborted) throw signal.reason
        // Everything came, only the end of the message was lost; the digest proves the rest.
        if (offset === descriptor.size && isRetryable(error)) return
        if (offset - freshFrom >= FRESH_START_BYTES) {
          freshFrom = offset
          tries = 1
        }
        const again = tries < policy.attempts && isRetryable(error)
        if (!again) {
          failures.push({ endpoint, error })
          if (index < sources.length - 1) warnOfWrong({ endpoint, error }, options.onWarning)
          break
        }
        onRetry?.({ registry: endpoint.registry, offset, error })
        await sleep(delayAfter(error, policy, tries), signal)
      }
    }
  }
  throw combinedError(failures)
}

interface Part {
  readonly size: number
  readonly offset: number
  readonly signal: AbortSignal
}

/** Gives the bytes from `offset` to the end of the blob, or throws. */
async function* part(source: BlobSource, { size, offset, signal }: Part): AsyncGenerator<Buffer> {
  const { context } = source
  const response = await source.open(offset > 0 ? `bytes=${offset}-` : undefined, signal)
  try {
    refuseEncoding(response, context.what)
    let skip = firstByte(response, { size, offset, context })
    let position = offset - skip
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      position += chunk.length
      if (position > size) throw wrongSize(context, size, `more than ${size} bytes`)
      if (skip < chunk.length) yield skip > 0 ? chunk.subarray(skip) : chunk
      skip = Math.max(0, skip - chunk.length)
    }
    if (position === size) return
    // Without a length and without chunks, the end of the connection is all that marks the end of the body.
    const marked = header(response, 'content-length') !== undefined || header(response, 'transfer-encoding') !== undefined
    if (marked) throw wrongSize(context, size, `only ${position} bytes`)
    throw connectionError(Object.assign(new Error('the connection was closed early'), { code: 'ECONNRESET' }), response.url)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw connectionError(error, response.url)
  } finally {
    response.body.destroy()
  }
}

interface Expected {
  readonly size: number
  readonly offset: number
  readonly context: RequestContext
}

/** How many bytes of the body have been delivered before: 0 for the wanted range, all when it was ignored. */
function firstByte(response: HttpResponse, { size, offset, context }: Expected): number {
  const length = header(response, 'content-length')
  if (response.status === 206 && offset > 0) {
    const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header(response, 'content-range') ?? '') ?? []
    const exact = Number(from) === offset && Number(to) === size - 1 && (total === '*' || Number(total) === size)
    if (!exact) throw protocolError(context, 'it answered with another range than was asked for')
    return 0
  }
  if (response.status !== 200) throw protocolError(context, `the unexpected status ${response.status}`)
  if (length !== undefined && Number(length) !== size) throw wrongSize(context, size, `${length} bytes`)
  return offset
}

function wrongSize({ endpoint, what }: RequestContext, expected: number, found: string): PodlibError {
  return new PodlibError(
    'ERR_SIZE_MISMATCH',
    `${endpoint.registry} sent ${found} for the ${what}, which has ${expected} bytes by its manifest`,
    {
      details: { registry: endpoint.registry, repository: endpoint.repository, expected },
    },
  )
}
