import { chmod, readFile } from 'node:fs/promises'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import { parseStrictJson } from '../spec/json.ts'
import type { Credential } from './types.ts'

/** An auth.json or Docker config.json. Members that podlib does not know are kept when it is edited. */
export interface AuthFile {
  auths?: Record<string, AuthEntry>
  credHelpers?: Record<string, string>
  credsStore?: string
  [other: string]: unknown
}

/** What is stored for one key; an empty entry means that a helper has it. */
export interface AuthEntry {
  auth?: string
  username?: string
  password?: string
  identitytoken?: string
  registrytoken?: string
}

/**
 * Reads a credentials file; a file that is absent or may not be read counts as absent.
 *
 * @param legacy - the file is a `.dockercfg`, which is the `auths` map alone
 * @throws ERR_CREDENTIALS naming the file, never what is in it
 */
export async function readAuthFile(path: string, legacy = false): Promise<AuthFile | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '')) return undefined
    throw invalid(path, `cannot be read: ${errorMessage(error)}`)
  }
  return parseAuthFile(text, path, legacy)
}

/** The credential that an entry holds. @throws ERR_CREDENTIALS */
export function credentialOf(entry: AuthEntry, where: string): Credential | undefined {
  if (entry.identitytoken) return { identityToken: entry.identitytoken }
  if (entry.auth === undefined || entry.auth === '') {
    return entry.username && entry.password ? { username: entry.username, password: entry.password } : undefined
  }
  const text = Buffer.from(entry.auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) throw invalid(where, "has an 'auth' that is not base64 of 'user:password'")
  // Some writers pad the password with NULs.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
}

/** The entry that {@link credentialOf} reads back. */
export function entryOf(credential: Credential): AuthEntry {
  if ('identityToken' in credential) {
    return { auth: Buffer.from(`${credential.username ?? '<token>'}:`).toString('base64'), identitytoken: credential.identityToken }
  }
  return { auth: Buffer.from(`${credential.username}:${credential.password}`).toString('base64') }
}

/**
 * Changes a credentials file under a lock that other podlib processes respect. The new file takes the place of the old one
 * at once and is readable by its owner only; a link to the file stays.
 *
 * @throws ERR_CREDENTIALS, ERR_LOCK_TIMEOUT
 */
export async function editAuthFile(path: string, edit: (file: AuthFile) => void, signal?: AbortSignal): Promise<void> {
  const { editFile } = await import('../lock/edit-file.ts')
  const change = async (text: string | undefined) => {
    // The new file gets the mode of the old one, which is not always as it should be.
    if (text !== undefined) await chmod(path, 0o600)
    const file = text === undefined ? {} : parseAuthFile(text, path)
    edit(file)
    return `${JSON.stringify(file, null, 2)}\n`
  }
  await editFile(path, change, { signal })
}

function parseAuthFile(text: string, path: string, legacy = false): AuthFile {
  if (text.trim() === '') return {}
  const document = parseStrictJson(text, { what: `file ${path}`, code: 'ERR_CREDENTIALS' }) as AuthFile
  return checkShape(legacy ? { auths: document as Record<string, AuthEntry> } : document, path)
}

function checkShape(file: AuthFile, path: string): AuthFile {
  if (!isObject(file)) throw invalid(path, 'is not a JSON object')
  for (const [key, entry] of Object.entries(file.auths ?? {})) {
    const texts = isObject(entry) ? [entry.auth, entry.identitytoken, entry.username, entry.password] : [0]
    if (!texts.every((value) => value === undefined || typeof value === 'string')) throw invalid(path, `has a malformed entry for '${key}'`)
  }
  for (const [key, helper] of Object.entries(file.credHelpers ?? {})) {
    if (typeof helper !== 'string') throw invalid(path, `has a credHelpers entry for '${key}' that is no string`)
  }
  if (file.credsStore !== undefined && typeof file.credsStore !== 'string') throw invalid(path, "has a 'credsStore' that is no string")
  return file
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(path: string, why: string): PodlibError {
  return new PodlibError('ERR_CREDENTIALS', `${path} ${why}`, { details: { path } })
}
