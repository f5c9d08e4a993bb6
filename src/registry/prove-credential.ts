import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { checkCredential, createAuthorizer } from './auth.ts'
import { drain } from './body.ts'
import type { Http } from './http.ts'
import type { RequestContext } from './registry-errors.ts'
import { type RetryPolicy, withRetry } from './retry.ts'
import { createSession, type SessionMemory } from './session.ts'
import type { Credential, Endpoint } from './types.ts'

export interface CredentialProof {
  readonly http: Http
  readonly policy: RetryPolicy
  readonly memory: SessionMemory
  readonly endpoint: Endpoint
  readonly credential: Credential
  readonly signal?: AbortSignal | undefined
}

/**
 * Shows a credential to a registry, the way that a pull would, and to nobody else.
 *
 * @returns whether the registry wanted to see it: one that lets everybody in proves nothing
 * @throws ERR_REGISTRY_UNAUTHORIZED when it is refused, ERR_REGISTRY_*
 */
export async function proveCredential({ http, policy, memory, endpoint, credential, signal }: CredentialProof): Promise<boolean> {
  checkCredential(credential)
  let shown = false
  const session = createSession({
    http,
    // Of its own: a token that somebody got before must not speak for this credential.
    authorizer: createAuthorizer({ http, retry: policy }),
    memory,
    onRefused: () => {},
    credential: async () => {
      shown = true
      return credential
    },
  })
  const context: RequestContext = { endpoint, wanted: 'version', what: 'version of its API' }
  try {
    await withRetry(async () => drain(await session.open({ context, path: '/v2/', signal })), { policy, signal })
  } catch (error) {
    throw shown && isPodlibError(error, 'ERR_REGISTRY_UNAUTHORIZED') ? refused(endpoint, credential, error) : error
  }
  return shown
}

function refused({ registry }: Endpoint, credential: Credential, cause: PodlibError): PodlibError {
  const what = 'identityToken' in credential ? 'identity token' : 'user name or password'
  return new PodlibError('ERR_REGISTRY_UNAUTHORIZED', `${registry} refuses the ${what}; check that it is meant for this registry`, {
    details: cause.details,
    cause,
  })
}
