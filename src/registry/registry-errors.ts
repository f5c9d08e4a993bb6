import { stripVTControlCharacters } from 'node:util'
import type { PodlibErrorCode } from '../errors/codes.ts'
import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { header, readBody } from './body.ts'
import type { HttpResponse } from './http.ts'
import { parseRetryAfter } from './retry.ts'
import type { Endpoint } from './types.ts'
import { isPushKind, type PushKind, pushVerdict } from './upload-errors.ts'

/** What a request was for; decides what a 404 means. */
export type Wanted = 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'file' | 'catalog' | 'version' | PushKind

/** What was asked of whom, for the error message. */
export interface RequestContext {
  readonly endpoint: Endpoint
  readonly wanted: Wanted
  /** `manifest of example.com/app:1` */
  readonly what: string
}

interface ReportedError {
  readonly code: string
  readonly message: string
}

const MAX_ERROR_BODY = 1024 * 1024
const NOT_FOUND_CODES: ReadonlySet<string> = new Set(['MANIFEST_UNKNOWN', 'NAME_UNKNOWN', 'BLOB_UNKNOWN', 'NOT_FOUND'])

/** Turns an answer that is no success into an error that says what to do. Reads and drops the body. */
export async function responseError(response: HttpResponse, context: RequestContext, redirected = false): Promise<PodlibError> {
  const reported = await reportedErrors(response)
  const { code, advice } = classify(response, context, reported, redirected)
  const { endpoint, what } = context
  const said = reported.map((error) => (error.message ? `${error.code}: ${error.message}` : error.code)).join('; ')
  const retryAfterMs = parseRetryAfter(header(response, 'retry-after'), Date.now())
  const remaining = Number.parseInt(header(response, 'ratelimit-remaining') ?? '', 10)
  const message = `${endpoint.registry} answered ${response.status} to the request for the ${what}${said && ` (${said})`}; ${advice}`
  return new PodlibError(code, message, {
    details: {
      registry: endpoint.registry,
      repository: endpoint.repository,
      status: response.status,
      // Without its query, which is where presigned links keep their signature.
      url: response.url.origin + response.url.pathname,
      errors: reported,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(!Number.isNaN(remaining) && { remaining }),
      ...(redirected && (response.status === 403 || response.status === 401) && { expiredRedirect: true }),
    },
  })
}

/** Text of a server for people: without control characters, on one line, cut. */
export function plainText(text: string, limit = 300): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, limit)
}

/** An error for an answer that breaks the protocol. */
export function protocolError(context: RequestContext, why: string): PodlibError {
  const { endpoint, what } = context
  return new PodlibError('ERR_REGISTRY_PROTOCOL', `${endpoint.registry} gave a faulty answer to the request for the ${what}: ${why}`, {
    details: { registry: endpoint.registry, repository: endpoint.repository },
  })
}

interface Verdict {
  readonly code: PodlibErrorCode
  readonly advice: string
}

function classify(response: HttpResponse, context: RequestContext, reported: readonly ReportedError[], redirected: boolean): Verdict {
  const { status } = response
  if (status === 429 || reported.some(({ code }) => code === 'TOOMANYREQUESTS')) {
    return { code: 'ERR_REGISTRY_RATE_LIMITED', advice: 'wait, log in for a higher limit, or configure a mirror' }
  }
  if (redirected && (status === 401 || status === 403)) {
    return { code: 'ERR_REGISTRY_DENIED', advice: 'the storage that the registry redirected to refused its own link' }
  }
  if (isPushKind(context.wanted)) {
    const insufficient = header(response, 'www-authenticate')?.includes('insufficient_scope') === true
    const verdict = pushVerdict(context.wanted, { status, codes: reported.map(({ code }) => code), insufficient })
    if (verdict) return verdict
  }
  if (isNotFound(status, reported)) return notFound(context)
  if (status === 401) return { code: 'ERR_REGISTRY_UNAUTHORIZED', advice: 'log in to the registry or pass credentials' }
  if (status === 403) return { code: 'ERR_REGISTRY_DENIED', advice: 'the account may not read this repository' }
  if (status === 408 || status === 425 || status >= 500) {
    return { code: 'ERR_REGISTRY_SERVER', advice: 'the registry or a proxy before it is in trouble; try again later' }
  }
  return { code: 'ERR_REGISTRY_PROTOCOL', advice: 'check that this host is a container registry' }
}

// Registries that know nothing of MANIFEST_UNKNOWN say UNKNOWN or nothing at all, with "not found" in words.
function isNotFound(status: number, reported: readonly ReportedError[]): boolean {
  if (status === 404) return true
  if (status < 400 || status >= 500) return false
  return reported.some(({ code, message }) => NOT_FOUND_CODES.has(code) || (code === 'UNKNOWN' && /\bnot found\b/i.test(message)))
}

function notFound({ wanted }: RequestContext): Verdict {
  if (wanted === 'blob')
    return { code: 'ERR_BLOB_NOT_FOUND', advice: 'the registry lost a part of this image, or never had it; push it again' }
  if (wanted === 'file') return { code: 'ERR_BLOB_NOT_FOUND', advice: 'check the address' }
  if (wanted === 'catalog') return { code: 'ERR_REGISTRY_UNSUPPORTED', advice: 'it does not say which repositories it has' }
  if (wanted === 'version') return { code: 'ERR_REGISTRY_PROTOCOL', advice: 'check that this host is a container registry' }
  return { code: 'ERR_MANIFEST_NOT_FOUND', advice: 'check the repository, tag or digest' }
}

async function reportedErrors(response: HttpResponse): Promise<ReportedError[]> {
  try {
    const body = await readBody(response, { maxBytes: MAX_ERROR_BODY, what: 'error', truncate: true })
    const { errors } = JSON.parse(body.toString('utf8')) as { errors?: unknown }
    if (!Array.isArray(errors)) return []
    return errors.slice(0, 5).map((error: { code?: unknown; message?: unknown } | null) => ({
      code: plainText(String(error?.code ?? 'UNKNOWN'), 60),
      message: plainText(typeof error?.message === 'string' ? error.message : ''),
    }))
  } catch {
    // A body that is no JSON (an HTML page of a proxy) adds nothing to the status.
    return []
  }
}

/**
 * The error of a request that went to several endpoints: that of the last one, which is the registry
 * itself, with what the mirrors said before.
 */
export function combinedError(failures: readonly { readonly endpoint: Endpoint; readonly error: unknown }[]): unknown {
  const last = failures.at(-1)
  if (failures.length < 2 || !isPodlibError(last?.error)) return last?.error
  const { code, message, details } = last.error
  const mirrors = failures.slice(0, -1).map(({ endpoint, error }) => ({
    registry: endpoint.registry,
    code: isPodlibError(error) ? error.code : 'ERR_INTERNAL',
    message: isPodlibError(error) ? error.message : String(error),
  }))
  return new PodlibError(code, `${message} (before that, ${mirrors.map(({ registry }) => registry).join(' and ')} failed)`, {
    details: { ...details, mirrors },
    cause: last.error,
  })
}
