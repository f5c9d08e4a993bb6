import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { parseStrictJson } from '../spec/json.ts'
import { drain, readBody, refuseEncoding } from './body.ts'
import type { Challenge } from './challenge.ts'
import type { Http, HttpRequest } from './http.ts'
import { type RequestContext, responseError } from './registry-errors.ts'
import { type RetryPolicy, withRetry } from './retry.ts'
import type { Credential, Endpoint } from './types.ts'
import { wireHost } from './types.ts'

/** A bearer token and when it stops being good, by this host's clock. */
export interface Token {
  readonly value: string
  readonly expiresAt: number
}

/** What a token is asked for with. */
export interface TokenRequest {
  readonly http: Http
  readonly retry: RetryPolicy
  readonly endpoint: Endpoint
  readonly challenge: Challenge
  readonly credential: Credential | undefined
  /** Scopes, separated by spaces; empty to be known by name only. */
  readonly scope: string
  readonly now: () => number
}

const MAX_TOKEN_BODY = 1024 * 1024
const MIN_LIFETIME_S = 60

/**
 * Gets a bearer token: GET with Basic authentication, or POST with the identity token.
 *
 * @see https://distribution.github.io/distribution/spec/auth/token/
 * @throws ERR_REGISTRY_UNAUTHORIZED, ERR_REGISTRY_PROTOCOL, ERR_REGISTRY_BODY_TOO_LARGE
 */
export async function fetchToken(request: TokenRequest): Promise<Token> {
  const { endpoint, credential } = request
  const url = checkRealm(request.challenge.parameters.get('realm') ?? '', endpoint)
  // A registry that is trusted without certificates is so by name: not every host that it names is.
  const insecure = endpoint.insecure && url.hostname === new URL(`https://${wireHost(endpoint.registry)}`).hostname
  const identity = credential && 'identityToken' in credential
  const message = identity ? refreshRequest(request, url, credential.identityToken) : basicRequest(request, url)
  const attempt = () => exchange(request, { ...message, insecure })
  return identity ? attempt() : withRetry(attempt, { policy: request.retry })
}

function basicRequest({ challenge, credential, scope }: TokenRequest, url: URL): Omit<HttpRequest, 'insecure'> {
  const service = challenge.parameters.get('service')
  if (service) url.searchParams.set('service', service)
  for (const one of scope.split(' ').filter(Boolean)) url.searchParams.append('scope', one)
  if (!credential || 'identityToken' in credential) return { url, method: 'GET', headers: {} }
  url.searchParams.set('account', credential.username)
  const secret = Buffer.from(`${credential.username}:${credential.password}`).toString('base64')
  return { url, method: 'GET', headers: { authorization: `Basic ${secret}` } }
}

function refreshRequest({ challenge, scope }: TokenRequest, url: URL, identityToken: string): Omit<HttpRequest, 'insecure'> {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'podlib', refresh_token: identityToken })
  if (scope !== '') form.set('scope', scope)
  const service = challenge.parameters.get('service')
  if (service) form.set('service', service)
  return { url, method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: form.toString() }
}

async function exchange({ http, endpoint, credential, now }: TokenRequest, message: HttpRequest): Promise<Token> {
  const context: RequestContext = { endpoint, wanted: 'token', what: `access token at ${message.url.host}` }
  const response = await http.send(message)
  refuseEncoding(response, 'token')
  if (response.status >= 300 && response.status < 400) {
    await drain(response)
    throw faulty(endpoint, `${message.url.host} redirects requests for tokens, which would hand credentials on`)
  }
  if (response.status !== 200) throw refused(await responseError(response, context), credential)
  const body = await readBody(response, { maxBytes: MAX_TOKEN_BODY, what: 'token' })
  const document = parseStrictJson(body.toString('utf8'), { what: `token of ${message.url.host}`, code: 'ERR_REGISTRY_PROTOCOL' })
  const { token, access_token, expires_in } = (document ?? {}) as { token?: unknown; access_token?: unknown; expires_in?: unknown }
  const value = token || access_token
  // What goes into a header must not be able to end it.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) throw faulty(endpoint, `${message.url.host} sent no token`)
  const lifetime = typeof expires_in === 'number' ? Math.max(expires_in, MIN_LIFETIME_S) : MIN_LIFETIME_S
  return { value, expiresAt: now() + lifetime * 1000 }
}

/** CVE-2019-10214: a realm on plain HTTP would get the password in the clear. */
function checkRealm(realm: string, endpoint: Endpoint): URL {
  if (!URL.canParse(realm)) throw faulty(endpoint, 'the realm of its challenge is not a URL')
  const url = new URL(realm)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && endpoint.insecure)) {
    throw faulty(endpoint, `its token server ${url.protocol}//${url.host} is not on https, so credentials are not sent to it`)
  }
  if (url.username || url.password) throw faulty(endpoint, 'the realm of its challenge contains credentials')
  return url
}

function refused(error: PodlibError, credential: Credential | undefined): PodlibError {
  if (!isPodlibError(error, 'ERR_REGISTRY_UNAUTHORIZED') && !isPodlibError(error, 'ERR_REGISTRY_DENIED')) return error
  const who = credential ? 'the credentials' : 'anonymous access'
  const advice = credential ? 'log in again' : 'log in or pass credentials'
  return new PodlibError('ERR_REGISTRY_UNAUTHORIZED', `${error.details.registry} refused ${who}; ${advice}`, {
    details: error.details,
    cause: error,
  })
}

function faulty({ registry, repository }: Endpoint, why: string): PodlibError {
  return new PodlibError('ERR_REGISTRY_PROTOCOL', `cannot authenticate to ${registry}: ${why}`, { details: { registry, repository } })
}
