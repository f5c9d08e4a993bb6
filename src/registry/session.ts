import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { type AuthAttempt, type Authorizer, type AuthRequest, isUsable } from './auth.ts'
import { drain, header } from './body.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Http, HttpBody, HttpMethod, HttpResponse } from './http.ts'
import { plainText, type RequestContext, responseError } from './registry-errors.ts'
import { isRetryableSystemCode } from './retry.ts'
import { type Credential, type Endpoint, type RegistryWarning, wireHost } from './types.ts'

/** One request to a registry, before authentication and redirects. */
export interface SessionRequest {
  readonly context: RequestContext
  /** Path and query below the registry's origin; or where the registry said that an upload goes, which may be another origin. */
  readonly path: string | URL
  readonly method?: HttpMethod
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: HttpBody | undefined
  /** What a token has to allow; the reading of the repository if absent. */
  readonly scope?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** Speaks the distribution protocol's common part with any endpoint: scheme, tokens, redirects, warnings. */
export interface Session {
  /**
   * Sends one request; gives a successful answer.
   *
   * @throws ERR_REGISTRY_*, ERR_MANIFEST_NOT_FOUND, ERR_BLOB_NOT_FOUND
   */
  open(request: SessionRequest): Promise<HttpResponse>
}

/** What is learned of hosts, for all sessions of a client. */
export interface SessionMemory {
  readonly schemes: Map<string, 'http:' | 'https:'>
  readonly warned: Set<string>
}

export interface SessionOptions {
  readonly http: Http
  readonly authorizer: Authorizer
  readonly memory: SessionMemory
  readonly credential: (endpoint: Endpoint, signal?: AbortSignal) => Promise<Credential | undefined>
  /** Called when a registry refused a credential that was found, so that it is looked up anew next time. */
  readonly onRefused: (endpoint: Endpoint) => void
  readonly onWarning?: ((warning: RegistryWarning) => void) | undefined
}

const MAX_REDIRECTS = 5
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** Anonymous or with a remembered token; with a fresh token; with the scope that the registry wants. */
const MAX_CHALLENGES = 3
const SECRET_HEADERS = ['authorization', 'cookie', 'proxy-authorization']

interface Landing {
  readonly response: HttpResponse
  /** The answer is from another origin than the registry's. */
  readonly elsewhere: boolean
}

export function createSession(options: SessionOptions): Session {
  const { http, authorizer } = options
  const { schemes, warned } = options.memory

  async function send(request: SessionRequest, authorization: string | undefined): Promise<Landing> {
    const { endpoint } = request.context
    const host = wireHost(endpoint.registry)
    const known = schemes.get(host)
    if (!endpoint.insecure || known) return follow(http, request, { scheme: endpoint.insecure && known ? known : 'https:', authorization })
    try {
      const landing = await follow(http, request, { scheme: 'https:', authorization })
      schemes.set(host, 'https:')
      return landing
    } catch (error) {
      if (request.signal?.aborted || !mayBePlainHttp(error, host)) throw error
    }
    const landing = await follow(http, request, { scheme: 'http:', authorization })
    schemes.set(host, 'http:')
    return landing
  }

  // Some registries answer a real request with a bare 401 and name their token server only at /v2/.
  async function challengesOf(response: HttpResponse, { context, signal }: SessionRequest): Promise<Challenge[]> {
    const challenges = parseChallenges(response.headers['www-authenticate'])
    if (challenges.some(isUsable)) return challenges
    const { response: ping } = await send({ context, path: '/v2/', signal }, undefined)
    await drain(ping)
    return ping.status === 401 ? parseChallenges(ping.headers['www-authenticate']) : []
  }

  async function authorized(request: SessionRequest): Promise<Landing> {
    const { endpoint } = request.context
    const { signal } = request
    let credential: Promise<Credential | undefined> | undefined
    const lookUp = () => {
      credential ??= options.credential(endpoint, signal)
      return credential
    }
    const auth: AuthRequest = { endpoint, scope: request.scope, signal, credential: lookUp }
    let attempt: AuthAttempt = await authorizer.begin(auth)
    for (let challenged = 1; ; challenged++) {
      const landing = await send(request, attempt.header)
      const { response, elsewhere } = landing
      if (response.status !== 401 || elsewhere || challenged === MAX_CHALLENGES) return landing
      try {
        const next = await authorizer.answer(auth, await challengesOf(response, request), attempt)
        // The body stays unread then: it says why.
        if (next === undefined) return landing
        attempt = next
      } catch (error) {
        response.body.destroy()
        throw error
      }
      await drain(response)
    }
  }

  function reportWarnings(response: HttpResponse, { registry }: Endpoint): void {
    const { warning } = response.headers
    if (warning === undefined || !options.onWarning) return
    for (const text of [warning].flat()) {
      const [, quoted] = /^299 \S+ "((?:[^"\\]|\\.)*)"/.exec(text) ?? []
      const shown = quoted === undefined ? '' : plainText(quoted.replace(/\\(.)/g, '$1'), 1000)
      const key = `${registry} ${shown}`
      if (shown === '' || warned.has(key) || warned.size > 1000) continue
      warned.add(key)
      options.onWarning({ registry, text: shown })
    }
  }

  return {
    async open(request) {
      const { context } = request
      try {
        const { response, elsewhere } = await authorized(request)
        if (!elsewhere) reportWarnings(response, context.endpoint)
        if (response.status >= 200 && response.status < 300) return response
        throw await responseError(response, context, elsewhere)
      } catch (error) {
        if (isPodlibError(error, 'ERR_REGISTRY_UNAUTHORIZED')) options.onRefused(context.endpoint)
        throw error
      }
    },
  }
}

/** The registry's own origin did not speak TLS, or nothing listened there. */
function mayBePlainHttp(error: unknown, host: string): boolean {
  if (!isPodlibError(error, 'ERR_REGISTRY_UNREACHABLE') && !isPodlibError(error, 'ERR_REGISTRY_TLS')) return false
  if (error.details.host !== new URL(`https://${host}`).host) return false
  const { systemCode } = error.details
  return error.code === 'ERR_REGISTRY_TLS' || systemCode === 'ECONNREFUSED' || isRetryableSystemCode(systemCode as string)
}

/**
 * Follows redirects by hand: what authenticates to the registry must not reach the storage behind it
 * (CVE-2022-31151 and its kin), and TLS must not be given up on the way.
 */
async function follow(
  http: Http,
  { context, path, method = 'GET', headers = {}, body, signal }: SessionRequest,
  { scheme, authorization }: { scheme: string; authorization: string | undefined },
): Promise<Landing> {
  const { endpoint, what } = context
  const origin = `${scheme}//${wireHost(endpoint.registry)}`
  const home = new URL(origin)
  let url = typeof path === 'string' ? new URL(`${origin}${path}`) : path
  const shown = authorization !== undefined && url.origin === home.origin
  let sent: Record<string, string> = { ...headers, ...(shown && { authorization }) }
  const isRead = method === 'GET' || method === 'HEAD'
  for (let hops = 0; ; hops++) {
    // A registry trusted without certificates is so by name; where it redirects to is another matter.
    const insecure = endpoint.insecure && url.hostname === home.hostname
    const response = await http.send({ url, method, headers: sent, insecure, signal, ...(body !== undefined && { body }) })
    const location = header(response, 'location')
    if (!REDIRECTS.has(response.status) || location === undefined) return { response, elsewhere: url.origin !== home.origin }
    await drain(response)
    // The other kinds of redirects turn whatever was sent into a GET.
    const keepsMethod = isRead || response.status === 307 || response.status === 308
    const next = keepsMethod ? redirectTarget(location, url) : undefined
    if (hops >= MAX_REDIRECTS || next === undefined) {
      const why = next
        ? `more than ${MAX_REDIRECTS} redirects`
        : 'a redirect to no URL, from https to http, or of a kind that is no answer to it'
      throw new PodlibError('ERR_REGISTRY_PROTOCOL', `${endpoint.registry} answered the request for the ${what} with ${why}`, {
        details: { registry: endpoint.registry, repository: endpoint.repository, host: url.host },
      })
    }
    if (next.origin !== url.origin) sent = Object.fromEntries(Object.entries(sent).filter(([name]) => !SECRET_HEADERS.includes(name)))
    url = next
  }
}

/** Where a `Location` leads to: never from https to http, and never with credentials in it. */
export function redirectTarget(location: string, from: URL): URL | undefined {
  if (!URL.canParse(location, from.href)) return undefined
  const url = new URL(location, from)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && from.protocol === 'http:')) return undefined
  url.username = ''
  url.password = ''
  return url
}
