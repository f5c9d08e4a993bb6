import type { RetryPolicy } from './retry.ts'
import type { Session } from './session.ts'
import type { Endpoint } from './types.ts'

/** Where something is pushed to. */
export interface PushPlace {
  readonly session: Session
  readonly endpoint: Endpoint
  readonly policy: RetryPolicy
  readonly signal: AbortSignal | undefined
}

/** What a token has to allow for a push, and for mounts from other repositories. */
export function pushScope({ repository }: Endpoint, mounts: readonly string[] = []): string {
  return [`repository:${repository}:pull,push`, ...mounts.map((from) => `repository:${from}:pull`)].join(' ')
}
