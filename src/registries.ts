import { isPodlibError, PodlibError } from './errors/errors.ts'
import type { Context } from './lifecycle/context.ts'
import { checkScope } from './registry/auth-keys.ts'
import type { CredentialExplanation } from './registry/credentials.ts'
import { resolveShortName } from './registry/endpoints.ts'
import type { LoggedOut, LoggedOutOfAll } from './registry/forget-credential.ts'
import type { CredentialPlace, KeepOptions } from './registry/keep-credential.ts'
import type { StoredCredential } from './registry/list-credentials.ts'
import type { Credential } from './registry/types.ts'
import { isShortName, parseReference, type Reference } from './spec/reference.ts'
import { checkOptions, type OptionNames } from './util/options.ts'

/** @public */
export interface CredentialFileOptions {
  /** This auth.json or Docker config.json and no other place. @defaultValue where the runtime looks for credentials */
  readonly authFile?: string
  readonly signal?: AbortSignal
}

const FILE_OPTIONS: OptionNames<CredentialFileOptions> = { authFile: true, signal: true }

/** A user name with a password, or an identity token, and where it is kept. @public */
export type LoginOptions = Credential &
  CredentialFileOptions &
  KeepOptions & {
    /** Whether the registry is asked first if the credential is good. @defaultValue true */
    readonly verify?: boolean
  }

const LOGIN_OPTIONS = { ...FILE_OPTIONS, username: true, password: true, identityToken: true, persistent: true, verify: true } as const

/** @public */
export type LoginResult = CredentialPlace & {
  /** The registry or namespace that the credential is for. */
  readonly registry: string
  /** Whether the registry has taken it. False where that was not asked, and where the registry lets everybody in. */
  readonly verified: boolean
}

/** Registries, and the credentials for them that podlib, podman, skopeo and buildah share. @public */
export class Registries {
  readonly #context: Context

  /** @internal */
  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Shows a credential to a registry and, when that takes it, keeps it for pulls: in the credential helper that is configured,
   * else in an auth.json, which only this user may read. Docker's files are not written unless `authFile` names one.
   *
   * @example
   * ```ts
   * await runtime.registries.login('registry.example', { username: 'ci', password })
   * await runtime.registries.login('registry.example/team', { identityToken, persistent: true })
   * ```
   * @param registry - `host[:port]`, or a namespace of it, as in an image name.
   * @throws ERR_REGISTRY_UNAUTHORIZED when it is refused (then nothing is kept), ERR_CREDENTIALS, ERR_REGISTRY_*
   */
  async login(registry: string, options: LoginOptions): Promise<LoginResult> {
    checkOptions('registries.login', options, LOGIN_OPTIONS)
    const { authFile, persistent = false, verify = true, signal } = options
    const credential = credentialOf(options)
    const scope = checkScope(registry)
    const [host = ''] = scope.split('/', 1)
    const [client, store] = await Promise.all([this.#context.registry(), this.#context.credentials(authFile)])
    const verified = verify && (await client.proveCredential(host, credential, signal))
    const place = await store.login(scope, credential, { persistent, signal })
    client.forgetCredentials()
    return { registry: scope, verified, ...place }
  }

  /**
   * Forgets the credential for a registry or namespace, and says which others apply from now on: what Docker has stored, what
   * was passed to {@link Runtime.open}, or that of the whole registry. Other processes may use theirs for some minutes more.
   */
  async logout(registry: string, options: CredentialFileOptions = {}): Promise<LoggedOut> {
    checkOptions('registries.logout', options, FILE_OPTIONS)
    const { authFile, signal } = options
    const store = await this.#context.credentials(authFile)
    const result = await store.logout(registry, signal)
    await this.#forget()
    return result
  }

  /** Forgets all credentials in the places that login writes. */
  async logoutAll(options: CredentialFileOptions = {}): Promise<LoggedOutOfAll> {
    checkOptions('registries.logoutAll', options, FILE_OPTIONS)
    const { authFile, signal } = options
    const store = await this.#context.credentials(authFile)
    const result = await store.logoutAll(signal)
    await this.#forget()
    return result
  }

  /** For which registries there are credentials, and where; in the order of search, so the first of several counts. */
  async list(options: CredentialFileOptions = {}): Promise<StoredCredential[]> {
    checkOptions('registries.list', options, FILE_OPTIONS)
    const { authFile, signal } = options
    return (await this.#context.credentials(authFile)).list(signal)
  }

  /** Which credential a pull of an image would use, if it is asked for one, and where it was looked for. */
  async explain(name: string, options: CredentialFileOptions = {}): Promise<CredentialExplanation> {
    checkOptions('registries.explain', options, FILE_OPTIONS)
    const { authFile, signal } = options
    const [reference] = await this.#candidates(name)
    return (await this.#context.credentials(authFile)).explainCredential(reference as Reference, signal)
  }

  /**
   * The tags of a repository, as its registry orders them; pages are fetched as far as they are read. Of several registries
   * that a short name can mean, the first that has the repository is it.
   *
   * @throws ERR_MANIFEST_NOT_FOUND, ERR_SHORT_NAME, ERR_REGISTRY_*
   */
  async *tags(name: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<string, undefined> {
    checkOptions('registries.tags', options, { signal: true })
    const { signal } = options
    const candidates = await this.#candidates(name)
    const client = await this.#context.registry()
    for (const [index, reference] of candidates.entries()) {
      const tags = client.tags(reference, { ...(signal && { signal }) })[Symbol.asyncIterator]()
      const first = await tags.next().catch((error: unknown) => {
        if (index === candidates.length - 1 || !isPodlibError(error) || error.kind !== 'not-found') throw error
      })
      if (first === undefined) continue
      if (!first.done) {
        yield first.value
        yield* { [Symbol.asyncIterator]: () => tags }
      }
      return
    }
  }

  async #candidates(name: string): Promise<Reference[]> {
    if (!isShortName(name)) return [parseReference(name)]
    const conf = await this.#context.registriesConf()
    return resolveShortName(conf, name).candidates.map((candidate) => parseReference(candidate))
  }

  async #forget(): Promise<void> {
    ;(await this.#context.registry()).forgetCredentials()
  }
}

function credentialOf(options: LoginOptions): Credential {
  const { username, password, identityToken } = options as { username?: unknown; password?: unknown; identityToken?: unknown }
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
  if (isText(identityToken) && password === undefined) return { identityToken, ...(isText(username) && { username }) }
  if (isText(username) && isText(password) && identityToken === undefined) return { username, password }
  throw new PodlibError('ERR_INVALID_ARGUMENT', 'a login takes a username and a password, or an identityToken; none may be empty')
}
