import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import { getAnonymously } from './anonymous.ts'
import type { BlobSource } from './blob.ts'
import type { Http } from './http.ts'
import type { RequestContext } from './registry-errors.ts'
import type { Endpoint } from './types.ts'

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
    const isAllowedHere = (target: URL) => isAllowed(target, allowedHosts)
    const open = (range: string | undefined, signal: AbortSignal) =>
      getAnonymously({ http, url, context, isAllowed: isAllowedHere, headers: range ? { range } : {}, signal })
    return [{ context, open }]
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
