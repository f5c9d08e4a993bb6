import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { drain, header, readBody, refuseEncoding } from './body.ts'
import type { Http, HttpResponse } from './http.ts'
import { type RequestContext, responseError } from './registry-errors.ts'
import { type RetryPolicy, withRetry } from './retry.ts'

const MAX_REDIRECTS = 5

/** One GET without credentials, outside the distribution protocol. */
export interface AnonymousRequest {
  readonly http: Http
  readonly url: URL
  readonly context: RequestContext
  /** Decides on every redirect target. */
  readonly isAllowed: (url: URL) => boolean
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

/**
 * Gets a URL that is no part of a registry: nobody is authenticated, whatever the server says.
 *
 * @throws ERR_REGISTRY_*, and what a status means by the context
 */
export async function getAnonymously({
  http,
  url: start,
  context,
  isAllowed,
  headers = {},
  signal,
}: AnonymousRequest): Promise<HttpResponse> {
  let url = start
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const response = await http.send({ url, method: 'GET', headers, insecure: false, signal })
    if (response.status >= 200 && response.status < 300) return response
    const location = response.status >= 300 && response.status < 400 ? header(response, 'location') : undefined
    if (location === undefined) throw await responseError(response, context)
    await drain(response)
    const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined
    if (!next || !isAllowed(next)) {
      throw new PodlibError('ERR_REGISTRY_PROTOCOL', `${url.host} redirects the ${context.what} to a place that is not allowed`, {
        details: { host: url.host, target: next?.host },
      })
    }
    url = next
  }
  throw new PodlibError('ERR_REGISTRY_PROTOCOL', `${start.host} redirects the ${context.what} more than ${MAX_REDIRECTS} times`, {
    details: { host: start.host },
  })
}

export interface FetchSmallFile {
  readonly http: Http
  readonly policy: RetryPolicy
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
}

/** Gets a small file; undefined where there is none. https does not lead to http. */
export async function fetchSmallFile(text: string, { http, policy, maxBytes, signal }: FetchSmallFile): Promise<Buffer | undefined> {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw new PodlibError('ERR_INVALID_ARGUMENT', `${JSON.stringify(text.slice(0, 200))} is no http or https URL without credentials`)
  }
  const isAllowed = ({ protocol }: URL) => protocol === 'https:' || (protocol === 'http:' && url.protocol === 'http:')
  const endpoint = { registry: url.host, repository: '', insecure: false, mirror: false }
  const context: RequestContext = { endpoint, wanted: 'file', what: `file ${url.pathname}` }
  const attempt = async () => {
    const response = await getAnonymously({ http, url, context, isAllowed, signal })
    refuseEncoding(response, context.what)
    return readBody(response, { maxBytes, what: 'file' })
  }
  return withRetry(attempt, { policy, signal }).catch((error) => {
    if (isPodlibError(error, 'ERR_BLOB_NOT_FOUND')) return undefined
    throw error
  })
}
