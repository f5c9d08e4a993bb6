import { readFileSync } from 'node:fs'
import { errorMessage, PodlibError } from '../errors/errors.ts'
import { type IdRange, parseIdMap } from './id-map.ts'
import { endPause, findMember, isPauseAlive, readPauseRecord, recordPause } from './pause-process.ts'
import { startPause } from './start-pause.ts'
import { type FindProgram, type NamespaceUser, planIdMaps } from './write-id-map.ts'

/**
 * A user and mount namespace for one unprivileged user, kept by a pause process. Every podlib process that uses the same
 * run root enters the same namespaces, so all of them see the same mounts.
 */
export interface UserNamespace {
  /** A process in the namespaces. */
  readonly pausePid: number
  readonly uids: readonly IdRange[]
  readonly gids: readonly IdRange[]
}

export interface UserNamespaceOptions {
  readonly user: NamespaceUser
  /** Directory of the pause process's record. The caller holds a lock on it. */
  readonly runRoot: string
  readonly find: FindProgram
}

/** Joins the namespaces, making them first when nothing keeps them. @throws ERR_ROOTLESS_SETUP saying what the host lacks */
export async function openUserNamespace(options: UserNamespaceOptions): Promise<UserNamespace> {
  const { runRoot, find } = options
  const record = readPauseRecord(runRoot)
  if (record && isPauseAlive(record)) return describe(record.pid)
  const member = record && findMember(record)
  const pid = (member && (await revive(member, find))) ?? (await makeNamespaces(options))
  recordPause(runRoot, pid)
  return describe(pid)
}

/** Ends the pause process, and with it the mounts of its namespace. The caller made sure that nobody uses them. */
export function endUserNamespace(runRoot: string): void {
  endPause(runRoot)
}

/** What leads a program into the namespaces, as root there. With a single id setgroups(2) is forbidden: the user's own groups stay. */
export function nsenterArguments({ pausePid, uids }: UserNamespace): string[] {
  return ['--target', String(pausePid), '--user', '--mount', ...(uids.length === 1 ? ['--preserve-credentials'] : [])]
}

async function makeNamespaces({ user, find }: UserNamespaceOptions): Promise<number> {
  const writeIdMaps = planIdMaps(user, find)
  const unshare = [find('unshare'), '--user', '--mount', '--propagation', 'slave']
  const pause = await startPause(unshare, find('sleep')).catch((error: unknown) => {
    throw new PodlibError('ERR_ROOTLESS_SETUP', `${errorMessage(error)}; ${namespaceAdvice(readSysctl)}`, { cause: error })
  })
  try {
    await writeIdMaps(pause.pid)
    return pause.pid
  } catch (error) {
    pause.kill()
    throw error
  }
}

/** A new pause process for namespaces that lost theirs; undefined when they ended meanwhile. */
async function revive(member: number, find: FindProgram): Promise<number | undefined> {
  try {
    const pause = await startPause([find('nsenter'), ...nsenterArguments(describe(member))], find('sleep'))
    return pause.pid
  } catch {
    return undefined
  }
}

/** Switches that forbid user namespaces, with the value that does and one that does not. @see user_namespaces(7) */
const SWITCHES = [
  { name: 'user.max_user_namespaces', forbids: '0', allows: '15000' },
  { name: 'kernel.unprivileged_userns_clone', forbids: '0', allows: '1' },
  { name: 'kernel.apparmor_restrict_unprivileged_userns', forbids: '1', allows: '0' },
] as const

/** Why no user namespace can be made, and what to do. @param sysctl value of a switch; undefined where there is none */
export function namespaceAdvice(sysctl: (name: string) => string | undefined): string {
  const found = SWITCHES.find(({ name, forbids }) => sysctl(name) === forbids)
  if (found === undefined) return 'the kernel, or the container that this runs in, must allow unprivileged user namespaces'
  return `${found.name} is ${found.forbids}: the administrator can allow user namespaces with "sysctl ${found.name}=${found.allows}"`
}

function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'latin1').trim()
  } catch {
    return undefined
  }
}

function describe(pid: number): UserNamespace {
  const map = (file: string) => parseIdMap(readFileSync(`/proc/${pid}/${file}`, 'latin1'))
  return { pausePid: pid, uids: map('uid_map'), gids: map('gid_map') }
}
