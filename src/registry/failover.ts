import type { PodlibErrorCode } from '../errors/codes.ts'
import { isPodlibError } from '../errors/errors.ts'
import { combinedError } from './registry-errors.ts'
import type { RetryPolicy } from './retry.ts'
import type { Endpoint, RegistryWarning } from './types.ts'

const WRONG: ReadonlySet<string> = new Set<PodlibErrorCode>([
  'ERR_DIGEST_MISMATCH',
  'ERR_SIZE_MISMATCH',
  'ERR_COMPRESSION_UNSUPPORTED',
  'ERR_LAYER_TOO_LARGE',
])

/** Puts the endpoint that has served this image before the others. */
export function preferEndpoint(endpoints: readonly Endpoint[], preferred: Endpoint | undefined): Endpoint[] {
  if (!preferred) return [...endpoints]
  const isPreferred = (endpoint: Endpoint) => isSameEndpoint(endpoint, preferred)
  return [...endpoints.filter(isPreferred), ...endpoints.filter((endpoint) => !isPreferred(endpoint))]
}

export function isSameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.registry === b.registry && a.repository === b.repository
}

/** A mirror that is in trouble is left soon: the next endpoint is a better use of the time. */
export function policyFor(policy: RetryPolicy, isLast: boolean): RetryPolicy {
  return isLast ? policy : { ...policy, attempts: Math.min(2, policy.attempts) }
}

/** Tells of an endpoint that sent something else than it should have, which nobody would hear of when the next one does better. */
export function warnOfWrong(
  { endpoint, error }: { readonly endpoint: Endpoint; readonly error: unknown },
  onWarning: ((warning: RegistryWarning) => void) | undefined,
): void {
  if (!isPodlibError(error) || !WRONG.has(error.code)) return
  onWarning?.({ registry: endpoint.registry, text: `${error.message}; it is fetched from elsewhere` })
}

export interface Places {
  readonly endpoints: readonly Endpoint[]
  readonly signal: AbortSignal | undefined
  readonly onWarning?: ((warning: RegistryWarning) => void) | undefined
}

/** Tries endpoints in order until one gives a result. One that sends other bytes than it should is worth a warning. */
export async function firstEndpoint<Result>(
  { endpoints, signal, onWarning }: Places,
  work: (endpoint: Endpoint, isLast: boolean) => Promise<Result>,
): Promise<Result> {
  const failures: { endpoint: Endpoint; error: unknown }[] = []
  for (const [index, endpoint] of endpoints.entries()) {
    const isLast = index === endpoints.length - 1
    try {
      return await work(endpoint, isLast)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      failures.push({ endpoint, error })
      if (!isLast) warnOfWrong({ endpoint, error }, onWarning)
    }
  }
  throw combinedError(failures)
}
