import { join } from 'node:path'
import { type AuthFile, credentialOf, readAuthFile } from './auth-file.ts'
import { helperFor, matchingKey, serverFor } from './auth-keys.ts'
import { getFromHelper, type HelperOptions } from './credentials-helper.ts'
import type { Credential, Environment, RepositoryName } from './types.ts'

/** Where credentials are looked for. @public */
export interface CredentialStoreOptions {
  readonly env: Environment
  readonly home: string
  readonly uid: number
  /** This file and no other; without it `REGISTRY_AUTH_FILE` of `env`, else the usual ones. */
  readonly authFile?: string
  /** `credential-helpers` of registries.conf, in order; `containers-auth.json` stands for the files. */
  readonly credentialHelpers?: readonly string[]
  /** Credentials by host that come before all others; they are kept nowhere. */
  readonly given?: Readonly<Record<string, Credential>>
  readonly helperTimeoutMs?: number
}

/** A credential with the place that it is from. */
export interface FoundCredential {
  readonly credential: Credential
  readonly kind: 'file' | 'helper' | 'option'
  readonly path?: string
  readonly key: string
  readonly helper?: string
}

/** One search for a credential. */
export interface Search {
  /** Gets every place that was looked at. */
  readonly searched: string[]
  /** Goes on where a helper fails, to find what else there is. */
  readonly lenient?: boolean
  readonly signal?: AbortSignal | undefined
}

/** The name in `credential-helpers` that stands for the files. */
export const FILES = 'containers-auth.json'

/** All places of credentials, in the order in which they are searched. */
export class CredentialPlaces {
  readonly #options: CredentialStoreOptions
  readonly files: readonly { readonly path: string; readonly legacy?: boolean }[]
  /** Names of helpers, and {@link FILES}. */
  readonly order: readonly string[]

  constructor(options: CredentialStoreOptions) {
    this.#options = options
    this.files = filesFor(options)
    this.order = options.credentialHelpers ?? [FILES]
  }

  get given(): Readonly<Record<string, Credential>> {
    return this.#options.given ?? {}
  }

  /** Whether one file was named, so that no other counts. */
  get isOneFile(): boolean {
    return this.files.length === 1
  }

  helper(signal: AbortSignal | undefined): HelperOptions {
    const { env, home, helperTimeoutMs } = this.#options
    return { env, home, signal, ...(helperTimeoutMs !== undefined && { timeoutMs: helperTimeoutMs }) }
  }

  /** The credentials for a repository, the one that counts first. Looks no further than it is asked to. */
  async *matches(name: RepositoryName, search: Search): AsyncGenerator<FoundCredential> {
    const { registry } = name
    const given = Object.hasOwn(this.given, registry) ? this.given[registry] : undefined
    if (given) yield { credential: given, kind: 'option', key: registry }
    for (const place of this.order) {
      if (place === FILES) yield* this.#matchesInFiles(name, search)
      else yield* this.#matchesOfHelper(place, { registry }, search)
    }
  }

  async *#matchesInFiles(name: RepositoryName, search: Search): AsyncGenerator<FoundCredential> {
    for (const { path, legacy } of this.files) {
      search.searched.push(path)
      const file: AuthFile = (await readAuthFile(path, legacy)) ?? {}
      const named = helperFor(file, name.registry)
      if (named) yield* this.#matchesOfHelper(named, { registry: name.registry, path }, search)
      const key = file.auths && matchingKey(file.auths, name)
      const credential = key === undefined ? undefined : credentialOf(file.auths?.[key] ?? {}, path)
      if (key !== undefined && credential) yield { credential, kind: 'file', path, key }
    }
  }

  async *#matchesOfHelper(
    helper: string,
    { registry, path }: { registry: string; path?: string },
    { searched, lenient, signal }: Search,
  ): AsyncGenerator<FoundCredential> {
    searched.push(`docker-credential-${helper}`)
    const key = serverFor(registry)
    try {
      const credential = await getFromHelper(helper, key, this.helper(signal))
      if (credential) yield { credential, kind: 'helper', key, helper, ...(path !== undefined && { path }) }
    } catch (error) {
      if (!lenient || signal?.aborted) throw error
    }
  }
}

function filesFor({ env, home, uid, authFile }: CredentialStoreOptions): { path: string; legacy?: boolean }[] {
  const only = authFile ?? env.REGISTRY_AUTH_FILE
  if (only) return [{ path: only }]
  const runtime = env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'containers') : `/run/containers/${uid}`
  return [
    { path: join(runtime, 'auth.json') },
    { path: join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers/auth.json') },
    { path: join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json') },
    { path: join(home, '.dockercfg'), legacy: true },
  ]
}
