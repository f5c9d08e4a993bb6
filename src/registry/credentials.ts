import { join } from 'node:path'
import { PodlibError } from '../errors/errors.ts'
import { parseReference } from '../spec/reference.ts'
import { checkCredential } from './auth.ts'
import { type AuthEntry, type AuthFile, credentialOf, editAuthFile, entryOf, readAuthFile } from './auth-file.ts'
import { eraseWithHelper, getFromHelper, type HelperOptions, storeWithHelper } from './credentials-helper.ts'
import type { Credential, CredentialLookup, Environment, RepositoryName } from './types.ts'

/** Where credentials are looked for. @public */
export interface CredentialStoreOptions {
  readonly env: Environment
  readonly home: string
  readonly uid: number
  /** This file and no other; without it `REGISTRY_AUTH_FILE` of `env`, else the usual ones. */
  readonly authFile?: string
  /** `credential-helpers` of registries.conf, in order; `containers-auth.json` stands for the files. */
  readonly credentialHelpers?: readonly string[]
  readonly helperTimeoutMs?: number
}

/** Where a credential came from; without any secret. @public */
export interface CredentialExplanation {
  readonly found: boolean
  readonly kind?: 'file' | 'helper'
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
   * Keeps a credential for a registry or a namespace of it (`host`, `host/team`). It is not tried out.
   *
   * @returns the file that was written
   */
  login(scope: string, credential: Credential): Promise<string>
  /** Forgets a credential in the file that login writes. @returns whether there was one */
  logout(scope: string): Promise<boolean>
}

interface Source {
  readonly path: string
  readonly legacy?: boolean
}

interface Found {
  readonly credential: Credential
  readonly path?: string
  readonly key: string
  readonly helper?: string
}

const FILES = 'containers-auth.json'
const DOCKER_HUB_KEYS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])
const DOCKER_HUB_SERVER = 'https://index.docker.io/v1/'

/** The files that are searched, in order. @see containers-auth.json(5) */
export function authFilePaths({ env, home, uid, authFile }: CredentialStoreOptions): string[] {
  return sources({ env, home, uid, ...(authFile !== undefined && { authFile }) }).map(({ path }) => path)
}

export function createCredentialStore(options: CredentialStoreOptions): CredentialStore {
  const { env, home } = options
  const files = sources(options)
  const helper = (signal?: AbortSignal): HelperOptions => ({
    env,
    home,
    signal,
    ...(options.helperTimeoutMs !== undefined && { timeoutMs: options.helperTimeoutMs }),
  })

  async function find(name: RepositoryName, searched: string[], signal?: AbortSignal): Promise<Found | undefined> {
    // The name becomes a key and a helper's input: nothing but a name may get there.
    const { registry, repository } = parseReference(`${name.registry}/${name.repository}`)
    for (const place of options.credentialHelpers ?? [FILES]) {
      const found =
        place === FILES
          ? await findInFiles({ registry, repository }, searched, signal)
          : await askHelper(place, { registry }, searched, signal)
      if (found) return found
    }
    return undefined
  }

  async function findInFiles(name: RepositoryName, searched: string[], signal?: AbortSignal): Promise<Found | undefined> {
    for (const { path, legacy } of files) {
      searched.push(path)
      const file = await readAuthFile(path, legacy)
      const named = file && helperFor(file, name.registry)
      if (named) {
        const found = await askHelper(named, { registry: name.registry, path }, searched, signal)
        if (found) return found
      }
      const key = file?.auths && matchingKey(file.auths, name)
      const credential = key !== undefined ? credentialOf(file?.auths?.[key] ?? {}, path) : undefined
      if (key !== undefined && credential) return { credential, path, key }
    }
    return undefined
  }

  async function askHelper(
    named: string,
    { registry, path }: { registry: string; path?: string },
    searched: string[],
    signal?: AbortSignal,
  ): Promise<Found | undefined> {
    searched.push(`docker-credential-${named}`)
    const key = registry === 'docker.io' ? DOCKER_HUB_SERVER : registry
    const credential = await getFromHelper(named, key, helper(signal))
    return credential && { credential, key, helper: named, ...(path !== undefined && { path }) }
  }

  const target = () => files[0]?.path ?? ''

  return {
    lookup: async (name, signal) => (await find(name, [], signal))?.credential,

    async explainCredential(name, signal) {
      const searched: string[] = []
      const found = await find(name, searched, signal)
      if (!found) return { found: false, searched }
      const { credential, path, key, helper: named } = found
      return {
        found: true,
        kind: named === undefined ? 'file' : 'helper',
        key,
        identityToken: 'identityToken' in credential,
        searched,
        ...(path !== undefined && { path }),
        ...(named !== undefined && { helper: named }),
        ...(credential.username !== undefined && { username: credential.username }),
      }
    },

    async login(scope, credential) {
      const key = checkScope(scope)
      checkCredential(credential)
      const path = target()
      const named = helperFor((await readAuthFile(path)) ?? {}, key)
      if (named) await storeWithHelper(named, serverFor(key), credential, helper())
      await editAuthFile(path, (file) => {
        file.auths = { ...file.auths, [key]: named ? {} : entryOf(credential) }
      })
      return path
    },

    async logout(scope) {
      const key = checkScope(scope)
      const path = target()
      const before = await readAuthFile(path)
      const named = helperFor(before ?? {}, key)
      if (named) await eraseWithHelper(named, serverFor(key), helper())
      if (!before?.auths || !Object.hasOwn(before.auths, key)) return named !== undefined
      await editAuthFile(path, (file) => {
        file.auths = Object.fromEntries(Object.entries(file.auths ?? {}).filter(([other]) => other !== key))
      })
      return true
    },
  }
}

function sources({ env, home, uid, authFile }: CredentialStoreOptions): Source[] {
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

/** `credHelpers` goes by host only, never by namespace; `credsStore` is Docker's helper for everything else. */
function helperFor(file: AuthFile, scope: string): string | undefined {
  const [host = ''] = scope.split('/', 1)
  for (const [key, named] of Object.entries(file.credHelpers ?? {})) if (normalizeKey(key) === normalizeKey(host)) return named
  return file.credsStore || undefined
}

/** The most specific key that covers a repository; then the host in the forms that Docker has used. */
function matchingKey(auths: Readonly<Record<string, AuthEntry>>, { registry, repository }: RepositoryName): string | undefined {
  const parts = repository.split('/')
  for (let length = parts.length; length >= 0; length--) {
    const key = [registry, ...parts.slice(0, length)].join('/')
    if (Object.hasOwn(auths, key)) return key
  }
  const host = normalizeKey(registry)
  return Object.keys(auths).find((key) => isLegacyKey(key) && normalizeKey(key) === host)
}

// A key with a path but no scheme is a namespace; cut down to its host it would cover too much.
function isLegacyKey(key: string): boolean {
  return /^https?:\/\//.test(key) || !key.includes('/') || /^[^/]+\/v[12]\/?$/.test(key)
}

function normalizeKey(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/s, '')
  return DOCKER_HUB_KEYS.has(host) ? 'docker.io' : host
}

function serverFor(scope: string): string {
  return normalizeKey(scope) === 'docker.io' ? DOCKER_HUB_SERVER : scope
}

function checkScope(scope: string): string {
  const host = normalizeKey(scope)
  try {
    // A bare host passes as the host of some repository.
    parseReference(scope.includes('/') ? scope : `${scope}/x`)
  } catch (error) {
    throw new PodlibError(
      'ERR_CREDENTIALS',
      `'${scope.slice(0, 200)}' is neither a registry nor a namespace of one; write it as in 'quay.io' or 'quay.io/team'`,
      {
        details: { scope: scope.slice(0, 200) },
        cause: error,
      },
    )
  }
  return host === 'docker.io' && !scope.includes('/') ? 'docker.io' : scope
}
