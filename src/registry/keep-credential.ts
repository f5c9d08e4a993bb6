import { PodlibError } from '../errors/errors.ts'
import { checkCredential } from './auth.ts'
import { type AuthFile, editAuthFile, entryOf, readAuthFile } from './auth-file.ts'
import { checkScope, helperFor, serverFor } from './auth-keys.ts'
import { type CredentialPlaces, FILES } from './credential-places.ts'
import { storeWithHelper } from './credentials-helper.ts'
import type { Credential } from './types.ts'

/** @public */
export interface KeepOptions {
  /** In the user's configuration, where it survives a reboot, rather than in the runtime directory. Means nothing where one file was named. */
  readonly persistent?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Where a credential is kept. @public */
export type CredentialPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'helper'; readonly helper: string; readonly path?: string }

export interface KeepRequest extends KeepOptions {
  readonly scope: string
  readonly credential: Credential
}

/** The auth.json files that podlib writes: never those that are Docker's, unless one of them is the one file that was named. */
export function ownFiles(places: CredentialPlaces): string[] {
  return places.files.slice(0, places.isOneFile ? 1 : 2).map(({ path }) => path)
}

/**
 * Puts a credential where it will be found first: registries.conf says whether that is a helper or a file, the file whether
 * it is a helper after all. A helper that fails is an error: what belongs into a key store is not left in a file instead.
 */
export async function keepCredential(places: CredentialPlaces, request: KeepRequest): Promise<CredentialPlace> {
  const { credential, persistent = false, signal } = request
  const key = checkScope(request.scope)
  checkCredential(credential)
  const [place = FILES] = places.order
  if (place !== FILES) {
    await storeWithHelper(place, serverFor(assertHost(key, place)), credential, places.helper(signal))
    return { kind: 'helper', helper: place }
  }
  const [runtime = '', lasting = runtime] = ownFiles(places)
  const path = persistent ? lasting : runtime
  const named = helperFor((await readAuthFile(path)) ?? {}, key)
  if (named) await storeWithHelper(named, serverFor(assertHost(key, named)), credential, places.helper(signal))
  // An empty entry says that a helper has it.
  await editAuthFile(path, (file) => addEntry(file, key, named ? {} : entryOf(credential)), signal)
  if (path !== runtime) await dropEntry(runtime, key, signal)
  return named ? { kind: 'helper', helper: named, path } : { kind: 'file', path }
}

/** A helper finds what it has by host: stored for a namespace it would never be found. */
function assertHost(key: string, helper: string): string {
  if (!key.includes('/')) return key
  throw new PodlibError(
    'ERR_CREDENTIALS',
    `the credential helper '${helper}' keeps credentials by host only, not for '${key}'; log in to the host, or name another authFile`,
    { details: { helper, scope: key } },
  )
}

function addEntry(file: AuthFile, key: string, entry: ReturnType<typeof entryOf>): void {
  file.auths = { ...file.auths, [key]: entry }
}

/** What is found before the new one would hide it. */
async function dropEntry(path: string, key: string, signal: AbortSignal | undefined): Promise<void> {
  const before = await readAuthFile(path)
  if (!before?.auths || !Object.hasOwn(before.auths, key)) return
  await editAuthFile(path, (file) => delete file.auths?.[key], signal)
}
