import { PodlibError } from '../errors/errors.ts'
import { parseReference } from '../spec/reference.ts'
import type { AuthEntry, AuthFile } from './auth-file.ts'
import type { RepositoryName } from './types.ts'

/* How credentials files and helpers name what a credential is for. @see containers-auth.json(5) */

const DOCKER_HUB_KEYS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])
const DOCKER_HUB_SERVER = 'https://index.docker.io/v1/'

/** `credHelpers` goes by host only, never by namespace; `credsStore` is Docker's helper for everything else. */
export function helperFor(file: AuthFile, scope: string): string | undefined {
  const [host = ''] = scope.split('/', 1)
  for (const [key, named] of Object.entries(file.credHelpers ?? {})) if (normalizeKey(key) === normalizeKey(host)) return named
  return file.credsStore || undefined
}

/** The most specific key that covers a repository; then the host in the forms that Docker has used. */
export function matchingKey(auths: Readonly<Record<string, AuthEntry>>, { registry, repository }: RepositoryName): string | undefined {
  const parts = repository.split('/').filter(Boolean)
  for (let length = parts.length; length >= 0; length--) {
    const key = [registry, ...parts.slice(0, length)].join('/')
    if (Object.hasOwn(auths, key)) return key
  }
  return Object.keys(auths).find((key) => isFormOf(key, registry))
}

/** Whether a key of a file stands for a whole host: by its name, or in a form that Docker has used for it. */
export function isFormOf(key: string, host: string): boolean {
  return isLegacyKey(key) && normalizeKey(key) === normalizeKey(host)
}

// A key with a path but no scheme is a namespace; cut down to its host it would cover too much.
function isLegacyKey(key: string): boolean {
  return /^https?:\/\//.test(key) || !key.includes('/') || /^[^/]+\/v[12]\/?$/.test(key)
}

function normalizeKey(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/s, '')
  return DOCKER_HUB_KEYS.has(host) ? 'docker.io' : host
}

/** What a key of a file or a server of a helper is called in a list. */
export function scopeOfKey(key: string): string {
  return isLegacyKey(key) ? normalizeKey(key) : key
}

/** What a helper knows a host as. */
export function serverFor(host: string): string {
  return normalizeKey(host) === 'docker.io' ? DOCKER_HUB_SERVER : host
}

/** The key for a registry (`host[:port]`) or a namespace of one as a user names it. @throws ERR_CREDENTIALS */
export function checkScope(scope: string): string {
  try {
    // A bare host passes as the host of some repository.
    parseReference(scope.includes('/') ? scope : `${scope}/x`)
  } catch (error) {
    const shown = scope.slice(0, 200)
    throw new PodlibError(
      'ERR_CREDENTIALS',
      `'${shown}' is neither a registry nor a namespace of one; write it as in 'quay.io' or 'quay.io/team'`,
      { details: { scope: shown }, cause: error },
    )
  }
  return !scope.includes('/') && normalizeKey(scope) === 'docker.io' ? 'docker.io' : scope
}
