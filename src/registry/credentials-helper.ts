import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { parseStrictJson } from '../spec/json.ts'
import type { Credential, Environment } from './types.ts'

/** How to call `docker-credential-*` programs. */
export interface HelperOptions {
  /** `PATH` finds the program; it and a few variables that key stores need are all that is passed on. */
  readonly env: Environment
  readonly home: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

/** The user name under which helpers keep identity tokens. */
export const TOKEN_USER = '<token>'
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const DEFAULT_TIMEOUT_MS = 30_000
/** What key stores and cloud helpers are reached by. Registry passwords and the app's own secrets are not among them. */
const PASSED_ON = [
  'PATH',
  'LANG',
  'USER',
  'DISPLAY',
  'WAYLAND_DISPLAY',
  'XDG_RUNTIME_DIR',
  'XDG_CONFIG_HOME',
  'DBUS_SESSION_BUS_ADDRESS',
  'GNUPGHOME',
  'PASSWORD_STORE_DIR',
  'GPG_TTY',
  'AWS_PROFILE',
  'AWS_REGION',
  'AWS_DEFAULT_REGION',
  'AWS_CONFIG_FILE',
  'AWS_SHARED_CREDENTIALS_FILE',
  'AWS_ROLE_ARN',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'CLOUDSDK_CONFIG',
  'GOOGLE_APPLICATION_CREDENTIALS',
]

/**
 * Asks a helper for the credential of a server. The name comes from a file, so it must be no path and
 * nothing that a shell could read.
 *
 * @see https://github.com/docker/docker-credential-helpers
 * @returns undefined when the helper has none
 * @throws ERR_CREDENTIALS when the helper is missing, fails or answers nonsense; what it printed is in no error
 */
export async function getFromHelper(name: string, server: string, options: HelperOptions): Promise<Credential | undefined> {
  const { output, failed } = await callHelper(name, 'get', { ...options, input: server })
  if (failed) {
    if (/credentials not found in native keychain/i.test(output)) return undefined
    throw refuse(name, `found no credential for ${server}`)
  }
  const document = parseStrictJson(output, { what: `answer of the credential helper '${name}'`, code: 'ERR_CREDENTIALS' })
  const { Username, Secret } = (document ?? {}) as { Username?: unknown; Secret?: unknown }
  if (typeof Username !== 'string' || typeof Secret !== 'string' || Secret === '')
    throw refuse(name, 'gave an answer without user name and secret')
  return Username === TOKEN_USER ? { identityToken: Secret } : { username: Username, password: Secret }
}

/** Hands a credential to a helper for keeping. @throws ERR_CREDENTIALS */
export async function storeWithHelper(name: string, server: string, credential: Credential, options: HelperOptions): Promise<void> {
  const identity = 'identityToken' in credential
  const entry = {
    ServerURL: server,
    Username: identity ? TOKEN_USER : credential.username,
    Secret: identity ? credential.identityToken : credential.password,
  }
  const { failed } = await callHelper(name, 'store', { ...options, input: JSON.stringify(entry) })
  if (failed) throw refuse(name, `could not store a credential for ${server}`)
}

/** Has a helper forget a credential; that it had none is fine. @throws ERR_CREDENTIALS */
export async function eraseWithHelper(name: string, server: string, options: HelperOptions): Promise<void> {
  const { output, failed } = await callHelper(name, 'erase', { ...options, input: server })
  if (failed && !/not found/i.test(output)) throw refuse(name, `could not erase the credential for ${server}`)
}

/** The user names that a helper has, by server. @throws ERR_CREDENTIALS */
export async function listFromHelper(name: string, options: HelperOptions): Promise<ReadonlyMap<string, string>> {
  const { output, failed } = await callHelper(name, 'list', { ...options, input: '' })
  if (failed) throw refuse(name, 'does not list what it has')
  const document = parseStrictJson(output.trim() || '{}', { what: `list of the credential helper '${name}'`, code: 'ERR_CREDENTIALS' })
  const entries = Object.entries((document ?? {}) as Record<string, unknown>)
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

interface HelperAnswer {
  readonly output: string
  readonly failed: boolean
}

async function callHelper(
  name: string,
  verb: 'get' | 'store' | 'erase' | 'list',
  { input, env, home, signal, timeoutMs = DEFAULT_TIMEOUT_MS }: HelperOptions & { readonly input: string },
): Promise<HelperAnswer> {
  if (!HELPER_NAME.test(name)) throw refuse(name, 'is no valid name; it may have letters, digits, dots, dashes and underscores')
  const program = await findProgram(`docker-credential-${name}`, env.PATH ?? '')
  if (!program)
    throw refuse(name, `is configured, but there is no docker-credential-${name} in PATH; install it or remove it from the configuration`)
  const { execa } = await import('execa')
  const passed = PASSED_ON.flatMap((key) => (env[key] === undefined ? [] : [[key, env[key]]]))
  const result = await execa(program, [verb], {
    input,
    env: { ...Object.fromEntries(passed), HOME: home },
    extendEnv: false,
    cleanup: false,
    reject: false,
    timeout: timeoutMs,
    maxBuffer: 1024 * 1024,
    forceKillAfterDelay: 1000,
    ...(signal && { cancelSignal: signal }),
  })
  if (signal?.aborted) throw signal.reason
  if (result.timedOut) throw refuse(name, `did not answer within ${timeoutMs} ms`)
  if (result.exitCode === undefined) throw refuse(name, `could not be run (${errorCode(result) ?? 'it was killed'})`)
  return { output: typeof result.stdout === 'string' ? result.stdout : '', failed: result.exitCode !== 0 }
}

async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const directory of path.split(':').filter(isAbsolute)) {
    const program = join(directory, name)
    const runnable = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (runnable) return program
  }
  return undefined
}

function refuse(name: string, why: string): PodlibError {
  const shown = JSON.stringify(name.slice(0, 80))
  return new PodlibError('ERR_CREDENTIALS', `the credential helper ${shown} ${why}`, { details: { helper: name.slice(0, 80) } })
}
