import { chmod, mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
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
  if (text.trim() === '') return {}
  const document = parseStrictJson(text, { what: `file ${path}`, code: 'ERR_CREDENTIALS' }) as AuthFile
  return checkShape(legacy ? { auths: document as Record<string, AuthEntry> } : document, path)
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
 * Changes a credentials file under a lock that other podlib processes respect; the new file replaces the
 * old one at once and is readable by its owner only.
 *
 * @throws ERR_CREDENTIALS
 */
export async function editAuthFile(name: string, edit: (file: AuthFile) => void): Promise<void> {
  await mkdir(dirname(name), { recursive: true, mode: 0o700 })
  // People link this file to where they keep their settings: the link stays, its target is replaced.
  const path = await realpath(name).catch(() => name)
  const { lock } = await import('proper-lockfile')
  // The file may not exist yet, so its name is locked and not its real path.
  const release = await lock(path, { realpath: false, stale: 10_000, retries: { retries: 20, minTimeout: 20, maxTimeout: 500 } }).catch(
    (error) => {
      throw invalid(path, `is locked by another process: ${errorMessage(error)}`)
    },
  )
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const file = (await readAuthFile(path)) ?? {}
    edit(file)
    await writeFile(temporary, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
    await chmod(temporary, 0o600)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await release()
  }
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
