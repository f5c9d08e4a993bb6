import { PodlibError } from '../errors/errors.ts'
import { hasControl, shown } from './check.ts'
import type { Identity } from './host-facts.ts'

/** Readers stop here: an image can make these files as large as it likes (CVE-2024-9676, CVE-2026-47262). */
export const USER_FILE_MAX_BYTES = 1024 * 1024
const MAX_LINES = 10_000
const MAX_ID = 2 ** 31 - 1
const NAME = /^[A-Za-z_.][A-Za-z0-9_.@-]{0,255}\$?$/

/**
 * Looks up who a container runs as, in the bytes of its own /etc/passwd and /etc/group (`null`: no such file). `user`
 * is empty (root), `name`, `uid`, `name:group` or `uid:gid`. Digits are an id and never a name, and an id is at most
 * 2^31-1: anything else has been a way to root (CVE-2016-3697, CVE-2024-40635, CVE-2026-46680).
 *
 * @throws ERR_USER_NOT_FOUND
 */
export function resolveUser(input: {
  readonly user: string
  /** Supplementary groups beside those of the files. */
  readonly groups?: readonly string[]
  readonly passwd: Uint8Array | null
  readonly group: Uint8Array | null
}): Identity {
  const { userPart, groupPart } = splitUser(input.user)
  const user = findUser(userPart, input.passwd)
  const gid = groupPart === undefined ? user.gid : findGroup(groupPart, input.group)
  // An explicit group stands alone, as in every other engine; membership counts otherwise.
  const own = groupPart === undefined && user.name !== undefined ? groupsOf(user.name, input.group) : []
  const added = (input.groups ?? []).map((group) => findGroup(group, input.group))
  return { uid: user.uid, gid, additionalGids: [...new Set([gid, ...own, ...added])], home: user.home }
}

interface User {
  /** Undefined for an id that the file does not know. */
  readonly name: string | undefined
  readonly uid: number
  readonly gid: number
  readonly home: string
}

function splitUser(text: string): { userPart: string; groupPart: string | undefined } {
  const [userPart = '', groupPart, ...rest] = text.split(':')
  if (rest.length > 0 || groupPart === '') throw notFound(`user ${shown(text)} is not of the form user, or user:group`, text)
  return { userPart: userPart === '' ? '0' : userPart, groupPart }
}

function findUser(text: string, passwd: Uint8Array | null): User {
  const id = parseId(text, 'user')
  for (const fields of entries(passwd, '/etc/passwd')) {
    const [name = '', , uidText = '', gidText = '', , home = ''] = fields
    const uid = fileId(uidText)
    const gid = fileId(gidText)
    if (uid === undefined || gid === undefined) continue
    if (id === undefined ? name === text : uid === id) return { name, uid, gid, home: safeHome(home) }
  }
  if (id === undefined) throw notFound(`no user ${shown(text)} in /etc/passwd of the container`, text)
  return { name: undefined, uid: id, gid: 0, home: '/' }
}

function findGroup(text: string, group: Uint8Array | null): number {
  const id = parseId(text, 'group')
  if (id !== undefined) return id
  for (const [name, , gidText = ''] of entries(group, '/etc/group')) {
    const gid = fileId(gidText)
    if (gid !== undefined && name === text) return gid
  }
  throw notFound(`no group ${shown(text)} in /etc/group of the container`, text)
}

function groupsOf(user: string, group: Uint8Array | null): number[] {
  const found: number[] = []
  for (const [, , gidText = '', members = ''] of entries(group, '/etc/group')) {
    const gid = fileId(gidText)
    if (gid !== undefined && members.split(',').includes(user)) found.push(gid)
  }
  return found
}

/** The id that digits mean; undefined for a name. */
function parseId(text: string, what: string): number | undefined {
  if (/^[0-9]+$/.test(text)) {
    const id = Number(text)
    if (id > MAX_ID || (text.length > 1 && text.startsWith('0')))
      throw notFound(`${what} id ${shown(text)} is not a number from 0 to ${MAX_ID}`, text)
    return id
  }
  if (!NAME.test(text)) throw notFound(`${shown(text)} is neither the name nor the id of a ${what}`, text)
  return undefined
}

function fileId(text: string): number | undefined {
  return /^[0-9]{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined
}

/** The fields of each line. A file beyond the limits is refused whole: a part of it could leave out a group. */
function* entries(bytes: Uint8Array | null, file: string): Generator<string[]> {
  if (bytes === null) return
  if (bytes.byteLength > USER_FILE_MAX_BYTES) throw notFound(`${file} of the container is larger than ${USER_FILE_MAX_BYTES} bytes`, file)
  const text = new TextDecoder().decode(bytes)
  let lines = 0
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start)
    const end = newline < 0 ? text.length : newline
    if (++lines > MAX_LINES) throw notFound(`${file} of the container has more than ${MAX_LINES} lines`, file)
    yield text.slice(start, end).split(':')
    start = end + 1
  }
}

/** HOME ends up in environments and files of others (CVE-2022-4318). */
function safeHome(home: string): string {
  return home.startsWith('/') && home.length <= 4096 && !hasControl(home) ? home : '/'
}

function notFound(message: string, value: string): PodlibError {
  return new PodlibError('ERR_USER_NOT_FOUND', message, { details: { value: value.slice(0, 300) } })
}
