import { combinedError } from './registry-errors.ts'
import type { RetryPolicy } from './retry.ts'
import type { Endpoint } from './types.ts'

/** Puts the endpoint that has served this image before the others. */
export function preferEndpoint(endpoints: readonly Endpoint[], preferred: Endpoint | undefined): Endpoint[] {
  if (!preferred) return [...endpoints]
  const isPreferred = ({ registry, repository }: Endpoint) => registry === preferred.registry && repository === preferred.repository
  return [...endpoints.filter(isPreferred), ...endpoints.filter((endpoint) => !isPreferred(endpoint))]
}

/** A mirror that is in trouble is left soon: the next endpoint is a better use of the time. */
export function policyFor(policy: RetryPolicy, isLast: boolean): RetryPolicy {
  return isLast ? policy : { ...policy, attempts: Math.min(2, policy.attempts) }
}

/** Tries endpoints in order until one gives a result. */
export async function firstEndpoint<Result>(
  endpoints: readonly Endpoint[],
  signal: AbortSignal | undefined,
  work: (endpoint: Endpoint, isLast: boolean) => Promise<Result>,
): Promise<Result> {
  const failures: { endpoint: Endpoint; error: unknown }[] = []
  for (const [index, endpoint] of endpoints.entries()) {
    try {
      return await work(endpoint, index === endpoints.length - 1)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      failures.push({ endpoint, error })
    }
  }
  throw combinedError(failures)
}
