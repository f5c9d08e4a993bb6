import type { Credential, CredentialLookup, Endpoint } from './types.ts'

/** Credentials that were found, kept for a while: finding one may start a helper program. */
export interface CredentialMemory {
  find(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Credential | undefined>
  /** Forgets what was found for one endpoint, or for all. */
  forget(endpoint?: Endpoint): void
}

const LIFETIME_MS = 5 * 60_000

export function createCredentialMemory(lookup: CredentialLookup | undefined): CredentialMemory {
  const known = new Map<string, { readonly found: Promise<Credential | undefined>; readonly until: number }>()
  return {
    find({ registry, repository }, signal) {
      const key = `${registry}/${repository}`
      const remembered = known.get(key)
      if (remembered && remembered.until > Date.now()) return remembered.found
      const found = lookup?.({ registry, repository }, signal) ?? Promise.resolve(undefined)
      known.set(key, { found, until: Date.now() + LIFETIME_MS })
      found.catch(() => known.delete(key))
      return found
    },
    forget(endpoint) {
      if (endpoint) known.delete(`${endpoint.registry}/${endpoint.repository}`)
      else known.clear()
    },
  }
}
