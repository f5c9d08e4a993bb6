import { parseReference } from '../spec/reference.ts'
import { CredentialPlaces, type CredentialStoreOptions } from './credential-places.ts'
import { forgetAllCredentials, forgetCredential, type LoggedOut, type LoggedOutOfAll } from './forget-credential.ts'
import { type CredentialPlace, type KeepOptions, keepCredential } from './keep-credential.ts'
import { listCredentials, type StoredCredential } from './list-credentials.ts'
import type { Credential, CredentialLookup, RepositoryName } from './types.ts'

/** Where a credential came from; without any secret. @public */
export interface CredentialExplanation {
  readonly found: boolean
  /** `option`: it was passed in the program. */
  readonly kind?: 'file' | 'helper' | 'option'
  /** The file, when a file or a helper named in one matched. */
  readonly path?: string
  /** The key of the file, or the server that the helper was asked for. */
  readonly key?: string
  readonly helper?: string
  readonly username?: string
  readonly identityToken?: boolean
  /** Every place that was looked at, in order. */
  readonly searched: readonly string[]
}

/** Finds, keeps and forgets credentials for registries. @public */
export interface CredentialStore {
  /** For `createRegistryClient`. @throws ERR_CREDENTIALS for a broken file or helper, rather than going on without */
  readonly lookup: CredentialLookup
  /** Says which source matches for a repository, and what was looked at. */
  explainCredential(name: RepositoryName, signal?: AbortSignal): Promise<CredentialExplanation>
  /**
   * Keeps a credential for a registry or a namespace of it (`host`, `host/team`), in the helper that is configured, else in
   * an auth.json; never in a file of Docker's unless that is the one file of this store. It is not tried out.
   *
   * @throws ERR_CREDENTIALS, also for a namespace where a helper is configured: helpers know hosts only
   */
  login(scope: string, credential: Credential, options?: KeepOptions): Promise<CredentialPlace>
  /** Forgets a credential in every place that login writes, and says where else there is one that would be used now. */
  logout(scope: string, signal?: AbortSignal): Promise<LoggedOut>
  /** Forgets every credential in the places that login writes. */
  logoutAll(signal?: AbortSignal): Promise<LoggedOutOfAll>
  /** Every credential that there is, in the order of search; several can be for the same registry. */
  list(signal?: AbortSignal): Promise<StoredCredential[]>
}

/** Credentials of registries as the options and the files of podman, docker and skopeo have them, and their helpers. @public */
export function createCredentialStore(options: CredentialStoreOptions): CredentialStore {
  const places = new CredentialPlaces(options)

  async function find(name: RepositoryName, searched: string[], signal?: AbortSignal) {
    // The name becomes a key and a helper's input: nothing but a name may get there.
    const isHost = name.repository === ''
    const { registry, repository } = parseReference(`${name.registry}/${isHost ? 'x' : name.repository}`)
    for await (const found of places.matches({ registry, repository: isHost ? '' : repository }, { searched, signal })) return found
    return undefined
  }

  return {
    lookup: async (name, signal) => (await find(name, [], signal))?.credential,

    async explainCredential(name, signal) {
      const searched: string[] = []
      const found = await find(name, searched, signal)
      if (!found) return { found: false, searched }
      const { credential, ...place } = found
      const { username } = credential
      return { found: true, ...place, identityToken: 'identityToken' in credential, searched, ...(username !== undefined && { username }) }
    },

    login: (scope, credential, keep) => keepCredential(places, { scope, credential, ...keep }),
    logout: (scope, signal) => forgetCredential(places, scope, signal),
    logoutAll: (signal) => forgetAllCredentials(places, signal),
    list: (signal) => listCredentials(places, signal),
  }
}
