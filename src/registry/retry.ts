import { errorCode, isPodlibError, type PodlibError } from '../errors/errors.ts'

/** How often and how patiently a request is repeated. @public */
export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number
  /** The wait before the second try; it doubles from there. */
  readonly baseDelayMs: number
  /** The longest wait, also of a `Retry-After`. */
  readonly maxDelayMs: number
}

export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, baseDelayMs: 1000, maxDelayMs: 60_000 }

const RETRYABLE_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])
const RETRYABLE_SYSTEM: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNRESET',
  'ENETDOWN',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_SOCKET',
])

/** Whether a GET or HEAD that was answered with this status may succeed when repeated. */
export function isRetryableStatus(status: number): boolean {
  return RETRYABLE_STATUS.has(status)
}

/** Whether a connection that failed with this error code is worth another try. */
export function isRetryableSystemCode(code: string | undefined): boolean {
  return code !== undefined && RETRYABLE_SYSTEM.has(code)
}

/**
 * Whether a failed GET or HEAD is worth repeating: a connection that broke or timed out, a status that
 * says so, or an expired link that the registry redirected to.
 */
export function isRetryable(error: unknown): boolean {
  if (!isPodlibError(error)) return isRetryableSystemCode(errorCode(error))
  const { status, systemCode, expiredRedirect } = error.details
  if (error.code === 'ERR_REGISTRY_UNREACHABLE') return isRetryableSystemCode(systemCode as string | undefined)
  return expiredRedirect === true || (typeof status === 'number' && isRetryableStatus(status))
}

/**
 * Reads `Retry-After`, seconds or an HTTP date.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000
  // Date.parse takes almost anything for a date, '-5' among them; HTTP dates end in GMT.
  const date = /\bGMT\s*$/.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** The wait after the given failed try (1 is the first): doubling, with up to half of it left to chance. */
export function backoffMs(policy: RetryPolicy, failedTries: number, random: () => number = Math.random): number {
  const full = Math.min(policy.baseDelayMs * 2 ** (failedTries - 1), policy.maxDelayMs)
  return full / 2 + (full / 2) * random()
}

/** What {@link withRetry} needs beside the work. */
export interface RetryOptions {
  readonly policy: RetryPolicy
  readonly signal?: AbortSignal | undefined
  readonly onRetry?: ((error: unknown, failedTries: number) => void) | undefined
}

/** Repeats work that may be repeated, while its error is retryable and the policy allows. */
export async function withRetry<Result>(work: () => Promise<Result>, options: RetryOptions): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      if (tries >= options.policy.attempts || !isRetryable(error)) throw error
      options.onRetry?.(error, tries)
      await sleep(delayAfter(error, options.policy, tries), options.signal)
    }
  }
}

/** How long to wait after an error: what the registry asked for, within the cap, else the back-off. */
export function delayAfter(error: unknown, policy: RetryPolicy, failedTries: number): number {
  const asked = (error as Partial<PodlibError> | undefined)?.details?.retryAfterMs
  return typeof asked === 'number' ? Math.min(asked, policy.maxDelayMs) : backoffMs(policy, failedTries)
}

/** Waits; rejects with the signal's reason as soon as it is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  let stop: (() => void) | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, ms)
      stop = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', stop, { once: true })
    })
  } finally {
    if (stop) signal?.removeEventListener('abort', stop)
  }
}
