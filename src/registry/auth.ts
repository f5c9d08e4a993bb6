import { createHash } from 'node:crypto'
import { PodlibError } from '../errors/errors.ts'
import type { Challenge } from './challenge.ts'
import type { Http } from './http.ts'
import type { RetryPolicy } from './retry.ts'
import { fetchToken, type Token } from './token.ts'
import type { Credential, Endpoint } from './types.ts'

/** Who asks for what: the key of everything that {@link Authorizer} remembers. */
export interface AuthRequest {
  readonly endpoint: Endpoint
  /** What a token has to allow, scopes separated by spaces; the reading of the endpoint's repository if absent. */
  readonly scope?: string | undefined
  /** Found when first needed, not before: a public pull then starts no credential helper. */
  readonly credential: () => Promise<Credential | undefined>
  readonly signal?: AbortSignal | undefined
}

/** The state of one request while it is being authorized. */
export interface AuthAttempt {
  /** The `Authorization` header to send; undefined is anonymous. */
  readonly header: string | undefined
  /** Scopes for which this request has already fetched a token of its own. */
  readonly triedScopes: readonly string[]
}

/** Answers the challenges of registries and remembers tokens, for all requests of a client. */
export interface Authorizer {
  /** What to send first: nothing until the host has challenged once, then a remembered token. */
  begin(request: AuthRequest): Promise<AuthAttempt>
  /**
   * What to send after a 401, or undefined when there is no better answer.
   *
   * @throws ERR_REGISTRY_UNAUTHORIZED when the token server refuses, ERR_REGISTRY_PROTOCOL for a realm that must not be used
   */
  answer(request: AuthRequest, challenges: readonly Challenge[], previous: AuthAttempt): Promise<AuthAttempt | undefined>
  /** Forgets all tokens. */
  forget(): void
}

export interface AuthorizerOptions {
  readonly http: Http
  readonly retry: RetryPolicy
  readonly now?: () => number
}

const MARGIN_MS = 5000

interface CachedToken {
  readonly pending: Promise<Token>
  /** Set once it is there. */
  token: Token | undefined
}

/** Whether podlib can answer a challenge. */
export function isUsable({ scheme, parameters }: Challenge): boolean {
  return scheme === 'basic' || (scheme === 'bearer' && parameters.has('realm'))
}

export function createAuthorizer({ http, retry, now = Date.now }: AuthorizerOptions): Authorizer {
  const challenges = new Map<string, Challenge>()
  const widened = new Map<string, string>()
  const tokens = new Map<string, CachedToken>()

  async function token(request: AuthRequest, challenge: Challenge, scope: string): Promise<Token> {
    const credential = await request.credential()
    const key = tokenKey(request.endpoint, challenge, credential, scope)
    const cached = tokens.get(key)
    // Single flight: whoever comes while a fetch is under way waits for that one. The fetch has no signal
    // of its own, because one caller's abort is not the others'; a caller only stops waiting.
    if (cached && !isExpired(cached)) return abortable(cached.pending, request.signal)
    for (const [old, entry] of tokens) if (isExpired(entry)) tokens.delete(old)
    const entry: CachedToken = {
      pending: fetchToken({ http, retry, endpoint: request.endpoint, challenge, credential, scope, now }),
      token: undefined,
    }
    tokens.set(key, entry)
    entry.pending.then(
      (fetched) => {
        entry.token = fetched
      },
      () => tokens.delete(key),
    )
    return abortable(entry.pending, request.signal)
  }

  function isExpired({ token: fetched }: CachedToken): boolean {
    return fetched !== undefined && fetched.expiresAt - MARGIN_MS <= now()
  }

  function forgetToken(header: string | undefined): void {
    for (const [key, { token: fetched }] of tokens) {
      if (fetched && `Bearer ${fetched.value}` === header) tokens.delete(key)
    }
  }

  return {
    async begin(request) {
      const challenge = challenges.get(hostKey(request.endpoint))
      if (!challenge) return { header: undefined, triedScopes: [] }
      if (challenge.scheme === 'basic') return { header: basic(await request.credential()), triedScopes: [] }
      const scope = widened.get(scopeKey(request)) ?? ownScope(request)
      // For what is not below a repository the registry has yet to say which it takes.
      if (scope === '') return { header: undefined, triedScopes: [] }
      try {
        return { header: `Bearer ${(await token(request, challenge, scope)).value}`, triedScopes: [] }
      } catch (error) {
        // The registry may have moved its token server since: ask it again, with nothing in the hand.
        if (request.signal?.aborted) throw error
        challenges.delete(hostKey(request.endpoint))
        return { header: undefined, triedScopes: [] }
      }
    },

    async answer(request, offered, previous) {
      const challenge = offered.find(isUsable)
      if (!challenge) return undefined
      forgetToken(previous.header)
      challenges.set(hostKey(request.endpoint), challenge)
      if (challenge.scheme === 'basic') {
        const header = basic(await request.credential())
        return header === undefined || header === previous.header ? undefined : { header, triedScopes: [] }
      }
      const scope = nextScope(request, challenge, previous)
      if (scope === undefined) return undefined
      if (scope !== ownScope(request)) widened.set(scopeKey(request), scope)
      const { value } = await token(request, challenge, scope)
      return { header: `Bearer ${value}`, triedScopes: [...previous.triedScopes, scope] }
    },

    forget: () => tokens.clear(),
  }
}

// The least that the request needs first; what the registry asks for when that was not enough.
function nextScope(request: AuthRequest, challenge: Challenge, { triedScopes }: AuthAttempt): string | undefined {
  const wanted = challenge.parameters.get('scope')
  // Nothing of podlib's own is known about what is not below a repository: the registry says what it takes.
  if (request.endpoint.repository === '') return triedScopes.length === 0 ? (wanted ?? '') : undefined
  const insufficient = challenge.parameters.get('error') === 'insufficient_scope'
  const own = ownScope(request)
  const order = insufficient && wanted ? [wanted, own] : [own, ...(wanted ? [wanted] : [])]
  return order.find((scope) => !triedScopes.includes(scope))
}

function ownScope({ endpoint: { repository }, scope }: AuthRequest): string {
  return repository === '' ? '' : (scope ?? `repository:${repository}:pull`)
}

function basic(credential: Credential | undefined): string | undefined {
  if (!credential || 'identityToken' in credential) return undefined
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`
}

function hostKey({ registry, insecure }: Endpoint): string {
  return `${insecure} ${registry}`
}

function scopeKey(request: AuthRequest): string {
  return `${hostKey(request.endpoint)}/${request.endpoint.repository} ${ownScope(request)}`
}

// Different repositories of one host may have different identities, so the identity is part of the key;
// hashed, because keys end up in heap dumps more often than values.
function tokenKey(endpoint: Endpoint, { parameters }: Challenge, credential: Credential | undefined, scope: string): string {
  const identity = credential ? createHash('sha256').update(JSON.stringify(credential)).digest('hex') : 'anonymous'
  return JSON.stringify([hostKey(endpoint), parameters.get('realm'), parameters.get('service'), identity, scope])
}

async function abortable<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return promise
  signal.throwIfAborted()
  let stop: (() => void) | undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    if (stop) signal.removeEventListener('abort', stop)
  }
}

/** Checks a credential that a caller passed. @throws ERR_CREDENTIALS */
export function checkCredential(credential: Credential): Credential {
  if (!('identityToken' in credential) && /[:\p{Cc}]/u.test(credential.username)) {
    throw new PodlibError('ERR_CREDENTIALS', 'a registry user name must not contain a colon or control characters')
  }
  return credential
}
