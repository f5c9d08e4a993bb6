import { type AuthFile, editAuthFile, readAuthFile } from './auth-file.ts'
import { checkScope, helperFor, isFormOf, scopeOfKey, serverFor } from './auth-keys.ts'
import { type CredentialPlaces, FILES } from './credential-places.ts'
import { eraseWithHelper } from './credentials-helper.ts'
import { ownFiles } from './keep-credential.ts'
import { describeFound, type HelperServer, listCredentials, type StoredCredential, serversOf, serversOfFile } from './list-credentials.ts'

/** @public */
export interface LoggedOut {
  /** Whether there was one. Where a helper is configured: that it was told to forget. */
  readonly removed: boolean
  /** Credentials in places that podlib does not write, which are used from now on. */
  readonly remaining: readonly StoredCredential[]
}

/** @public */
export interface LoggedOutOfAll {
  /** Registries and namespaces that there was a credential for. */
  readonly removed: readonly string[]
  readonly remaining: readonly StoredCredential[]
}

export async function forgetCredential(places: CredentialPlaces, scope: string, signal?: AbortSignal): Promise<LoggedOut> {
  const key = checkScope(scope)
  const [registry = '', ...path] = key.split('/')
  const isMeant = (other: string) => other === key || (path.length === 0 && isFormOf(other, registry))
  let removed = false
  for (const place of places.order) {
    if (place === FILES) {
      for (const file of ownFiles(places)) removed = (await forgetInFile(places, { path: file, key, isMeant, signal })) || removed
    } else if (path.length === 0) {
      await eraseWithHelper(place, serverFor(key), places.helper(signal))
      removed = true
    }
  }
  const remaining: StoredCredential[] = []
  const search = { searched: [], lenient: true, signal }
  for await (const found of places.matches({ registry, repository: path.join('/') }, search)) remaining.push(describeFound(found))
  return { removed, remaining }
}

interface ForgetInFile {
  readonly path: string
  readonly key: string
  readonly isMeant: (key: string) => boolean
  readonly signal: AbortSignal | undefined
}

async function forgetInFile(places: CredentialPlaces, { path, key, isMeant, signal }: ForgetInFile): Promise<boolean> {
  const before = await readAuthFile(path)
  if (before === undefined) return false
  const named = key.includes('/') ? undefined : helperFor(before, key)
  if (named) await eraseWithHelper(named, serverFor(key), places.helper(signal))
  if (!Object.keys(before.auths ?? {}).some(isMeant)) return named !== undefined
  await editAuthFile(path, (file) => keepOnly(file, (other) => !isMeant(other)), signal)
  return true
}

function keepOnly(file: AuthFile, isKept: (key: string) => boolean): void {
  file.auths = Object.fromEntries(Object.entries(file.auths ?? {}).filter(([key]) => isKept(key)))
}

export async function forgetAllCredentials(places: CredentialPlaces, signal?: AbortSignal): Promise<LoggedOutOfAll> {
  const removed = new Set<string>()
  const erase = async (servers: readonly HelperServer[]) => {
    for (const { helper, server } of servers) {
      await eraseWithHelper(helper, server, places.helper(signal))
      removed.add(scopeOfKey(server))
    }
  }
  for (const place of places.order) {
    if (place !== FILES) await erase(await serversOf(places, place, signal))
    else {
      for (const path of ownFiles(places)) {
        const file = (await readAuthFile(path)) ?? {}
        await erase(await serversOfFile(places, file, signal))
        const keys = Object.keys(file.auths ?? {})
        for (const key of keys) removed.add(scopeOfKey(key))
        // Written by others meanwhile: what was not there to be seen is not forgotten.
        if (keys.length > 0) await editAuthFile(path, (now) => keepOnly(now, (key) => !keys.includes(key)), signal)
      }
    }
  }
  return { removed: [...removed], remaining: await listCredentials(places, signal) }
}
