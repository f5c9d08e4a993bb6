import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import { type IdRange, overlap, rootlessMapping, type SubordinateRange, subordinateRanges } from './id-map.ts'

export interface NamespaceUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Finds the absolute path of a program. @throws ERR_PROGRAM_MISSING */
export type FindProgram = (name: string) => string

/** What is to be mapped, and the program that may do so. */
interface Mapping {
  readonly program: string
  readonly file: string
  readonly ranges: readonly IdRange[]
}

const execute = promisify(execFile)

/**
 * Decides how a user's ids are mapped and gives the function that does it to a process. Everything that can be wrong with the
 * host shows before there is a process.
 *
 * @throws ERR_ROOTLESS_SETUP
 */
export function planIdMaps(user: NamespaceUser, find: FindProgram): (pid: number) => Promise<void> {
  const uids = mappingOf('uid', user, find)
  const gids = mappingOf('gid', user, find)
  return async (pid) => {
    if (uids === undefined || gids === undefined) return writeSingleMap(pid, user)
    await writeMap(pid, uids)
    await writeMap(pid, gids)
  }
}

/** Undefined for a user without subordinate ids. */
function mappingOf(kind: 'uid' | 'gid', user: NamespaceUser, find: FindProgram): Mapping | undefined {
  const file = `/etc/sub${kind}`
  const subordinate = readRanges(file, { name: user.name, id: user.uid })
  if (subordinate.length === 0) return undefined
  const ranges = rootlessMapping(user[kind], subordinate)
  const twice = overlap(ranges)
  if (twice)
    throw setupError(`${file} gives ${user.name} the id ${twice[1].outside} twice, or one that is the user's own: correct the ranges`)
  return { program: findMapper(`new${kind}map`, find), file, ranges }
}

function findMapper(name: string, find: FindProgram): string {
  try {
    return find(name)
  } catch (error) {
    throw setupError(`the user has subordinate ids, which only ${name} may map: ${errorMessage(error)}`, error)
  }
}

function readRanges(path: string, user: { name: string; id: number }): SubordinateRange[] {
  try {
    return subordinateRanges(readFileSync(path, 'utf8'), user)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

async function writeMap(pid: number, { program, file, ranges }: Mapping): Promise<void> {
  const fields = ranges.flatMap(({ inside, outside, size }) => [inside, outside, size].map(String))
  try {
    await execute(program, [String(pid), ...fields], { env: {} })
  } catch (error) {
    const why = (error as { stderr?: string }).stderr?.trim() || errorMessage(error)
    throw setupError(
      `${program} refused the mapping (${why}): check ${file}, and that the program is setuid root or has file capabilities`,
      error,
    )
  }
}

/** Without subordinate ids only the user's own can be mapped: images with files of one owner still work. */
function writeSingleMap(pid: number, user: NamespaceUser): void {
  writeFileSync(`/proc/${pid}/setgroups`, 'deny')
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${user.uid} 1`)
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${user.gid} 1`)
}

function setupError(message: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_ROOTLESS_SETUP', message, { cause })
}
