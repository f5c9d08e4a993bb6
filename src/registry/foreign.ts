import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import type { BlobSource } from './blob.ts'
import { drain, header } from './body.ts'
import type { Http, HttpResponse } from './http.ts'
import { type RequestContext, responseError } from './registry-errors.ts'
import type { Endpoint } from './types.ts'

const MAX_REDIRECTS = 5

/**
 * The places outside the registry that a descriptor's `urls` names, as far as they are allowed. They come
 * from the image, so they could point anywhere: only https, only hosts that the user listed, on every
 * hop, and never with credentials (CVE-2020-15157).
 */
export function foreignSources(http: Http, descriptor: Descriptor, allowedHosts: readonly string[]): BlobSource[] {
  return (descriptor.urls ?? []).flatMap((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (!url || !isAllowed(url, allowedHosts)) return []
    const endpoint: Endpoint = { registry: url.host, repository: '', insecure: false, mirror: false }
    const context: RequestContext = { endpoint, wanted: 'blob', what: `foreign layer ${descriptor.digest}` }
    return [{ context, open: (range, signal) => fetchForeign({ http, url, allowedHosts, context }, range, signal) }]
  })
}

/** Adds to a registry's "not found" where the image says that the layer is. */
export function explainForeign(error: unknown, descriptor: Descriptor): unknown {
  const hosts = (descriptor.urls ?? []).flatMap((text) => (URL.canParse(text) ? [new URL(text).host] : []))
  if (hosts.length === 0 || !isPodlibError(error, 'ERR_BLOB_NOT_FOUND')) return error
  const hint = `the image says that this layer is at ${hosts.slice(0, 5).join(', ')}, which is only asked when listed as a foreign layer host`
  return new PodlibError('ERR_BLOB_NOT_FOUND', `${error.message}; ${hint}`, { details: { ...error.details, hosts }, cause: error })
}

function isAllowed(url: URL, allowedHosts: readonly string[]): boolean {
  return url.protocol === 'https:' && url.username === '' && url.password === '' && allowedHosts.includes(url.host)
}

interface Foreign {
  readonly http: Http
  readonly url: URL
  readonly allowedHosts: readonly string[]
  readonly context: RequestContext
}

async function fetchForeign(
  { http, url: start, allowedHosts, context }: Foreign,
  range: string | undefined,
  signal: AbortSignal,
): Promise<HttpResponse> {
  let url = start
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const response = await http.send({ url, method: 'GET', headers: range ? { range } : {}, insecure: false, signal })
    if (response.status >= 200 && response.status < 300) return response
    const location = response.status >= 300 && response.status < 400 ? header(response, 'location') : undefined
    if (location === undefined) throw await responseError(response, context)
    await drain(response)
    const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined
    if (!next || !isAllowed(next, allowedHosts)) {
      throw new PodlibError('ERR_REGISTRY_PROTOCOL', `${url.host} redirects the ${context.what} to a host that is not allowed`, {
        details: { host: url.host, target: next?.host },
      })
    }
    url = next
  }
  throw new PodlibError('ERR_REGISTRY_PROTOCOL', `${start.host} redirects the ${context.what} more than ${MAX_REDIRECTS} times`)
}
