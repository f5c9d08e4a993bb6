import { type AuthFile, credentialOf, readAuthFile } from './auth-file.ts'
import { helperFor, scopeOfKey } from './auth-keys.ts'
import { type CredentialPlaces, FILES, type FoundCredential } from './credential-places.ts'
import { listFromHelper, TOKEN_USER } from './credentials-helper.ts'

/** That there is a credential, and where; without any secret. @public */
export interface StoredCredential {
  /** `host[:port]`, or a namespace of it. */
  readonly registry: string
  /** `option`: it was passed in the program, and is kept nowhere. */
  readonly kind: 'file' | 'helper' | 'option'
  /** The file, or the one that names the helper. */
  readonly path?: string
  readonly helper?: string
  /** Absent for an identity token. */
  readonly username?: string
  readonly identityToken: boolean
}

/** Says of a credential that was found where it is. */
export function describeFound({ credential, kind, key, path, helper }: FoundCredential): StoredCredential {
  const identityToken = 'identityToken' in credential
  return {
    registry: scopeOfKey(key),
    kind,
    identityToken,
    ...(path !== undefined && { path }),
    ...(helper !== undefined && { helper }),
    ...(!identityToken && { username: credential.username }),
  }
}

export async function listCredentials(places: CredentialPlaces, signal?: AbortSignal): Promise<StoredCredential[]> {
  const found = Object.entries(places.given).map(([key, credential]) => describeFound({ credential, kind: 'option', key }))
  for (const place of places.order) {
    if (place !== FILES) {
      found.push(...(await serversOf(places, place, signal)).map(describeServer))
      continue
    }
    for (const { path, legacy } of places.files) found.push(...(await listOfFile(places, { path, legacy, signal })))
  }
  return found
}

async function listOfFile(
  places: CredentialPlaces,
  { path, legacy, signal }: { path: string; legacy: boolean | undefined; signal: AbortSignal | undefined },
): Promise<StoredCredential[]> {
  const file = (await readAuthFile(path, legacy)) ?? {}
  const helped = (await serversOfFile(places, file, signal)).map((server) => ({ ...describeServer(server), path }))
  const entries = Object.entries(file.auths ?? {}).flatMap(([key, entry]) => {
    const credential = credentialOf(entry, path)
    return credential ? [describeFound({ credential, kind: 'file', path, key })] : []
  })
  return [...helped, ...entries]
}

/** What a helper has for one server. */
export interface HelperServer {
  readonly helper: string
  readonly server: string
  readonly username: string
}

/** What the helpers that a file names have for it: `credHelpers` for their hosts, `credsStore` for all others. */
export async function serversOfFile(places: CredentialPlaces, file: AuthFile, signal?: AbortSignal): Promise<HelperServer[]> {
  const named = new Set([...Object.values(file.credHelpers ?? {}), ...(file.credsStore ? [file.credsStore] : [])])
  const found: HelperServer[] = []
  for (const helper of named) found.push(...(await serversOf(places, helper, signal)))
  return found.filter(({ helper, server }) => helperFor(file, scopeOfKey(server)) === helper)
}

export async function serversOf(places: CredentialPlaces, helper: string, signal?: AbortSignal): Promise<HelperServer[]> {
  const listed = await listFromHelper(helper, places.helper(signal))
  return [...listed].map(([server, username]) => ({ helper, server, username }))
}

function describeServer({ helper, server, username }: HelperServer): StoredCredential {
  const identityToken = username === TOKEN_USER
  return { registry: scopeOfKey(server), kind: 'helper', helper, identityToken, ...(!identityToken && { username }) }
}
