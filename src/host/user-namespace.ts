import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import type { IdRange } from './id-map.ts'
import { parseIdMap, rootlessMapping, subordinateRanges } from './id-map.ts'
import { isSameProcess, readProcess } from './proc.ts'

/**
 * A user and mount namespace for one unprivileged user, kept by a *pause process* that does nothing.
 * Every podlib process of that user enters the same namespaces, so all of them see the same mounts.
 */
export interface UserNamespace {
  readonly pausePid: number
  readonly uids: readonly IdRange[]
  readonly gids: readonly IdRange[]
}

export interface UserNamespaceOptions {
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number }
  /** Directory of the pause process's record. The caller holds a lock on it. */
  readonly runRoot: string
  /** Absolute paths of the programs; `newuidmap` and `newgidmap` only when they exist. */
  readonly programs: { readonly unshare: string; readonly sleep: string; readonly newuidmap?: string; readonly newgidmap?: string }
}

interface PauseRecord {
  readonly pid: number
  readonly startTime: number
}

const run = promisify(execFile)
const recordPath = (runRoot: string) => join(runRoot, 'pause.json')

/** Joins the user's namespaces, making them first when no pause process keeps them. @throws ERR_ROOTLESS_SETUP */
export async function openUserNamespace(options: UserNamespaceOptions): Promise<UserNamespace> {
  const pausePid = findPause(options.runRoot) ?? (await startPause(options))
  return {
    pausePid,
    uids: parseIdMap(readFileSync(`/proc/${pausePid}/uid_map`, 'utf8')),
    gids: parseIdMap(readFileSync(`/proc/${pausePid}/gid_map`, 'utf8')),
  }
}

/** Ends the pause process, and with it the mounts of its namespace. The caller made sure that nobody uses them. */
export function endUserNamespace(runRoot: string): void {
  const pid = findPause(runRoot)
  if (pid !== undefined) process.kill(pid, 'SIGKILL')
}

function findPause(runRoot: string): number | undefined {
  try {
    const { pid, startTime } = JSON.parse(readFileSync(recordPath(runRoot), 'utf8')) as PauseRecord
    return isSameProcess(pid, startTime) ? pid : undefined
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw setupError(`cannot read the record of the pause process ${recordPath(runRoot)}: ${errorMessage(error)}; remove the file`)
  }
}

async function startPause(options: UserNamespaceOptions): Promise<number> {
  const { unshare, sleep: pause } = options.programs
  const child = spawn(unshare, ['--user', '--mount', '--propagation', 'slave', pause, 'infinity'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    cwd: '/',
    env: {},
  })
  try {
    const pid = await enteredNamespace(child)
    await writeMaps(pid, options)
    const record: PauseRecord = { pid, startTime: readProcess(pid)?.startTime ?? 0 }
    writeFileSync(`${recordPath(options.runRoot)}.new`, JSON.stringify(record), { mode: 0o600 })
    renameSync(`${recordPath(options.runRoot)}.new`, recordPath(options.runRoot))
    child.stderr?.destroy()
    child.unref()
    return pid
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}

const ENTER_TIMEOUT_MS = 5_000

/** Waits until the child has left this process's user namespace; its program then runs in the new one. */
async function enteredNamespace(child: ChildProcess): Promise<number> {
  let stderr = ''
  let ended: string | undefined
  child.stderr?.on('data', (text) => {
    stderr += text
  })
  child.once('error', (error) => {
    ended = error.message
  })
  child.once('exit', (code) => {
    ended = `exit code ${code}`
  })
  const own = readlinkSync('/proc/self/ns/user')
  const deadline = Date.now() + ENTER_TIMEOUT_MS
  while (Date.now() < deadline && ended === undefined) {
    if (child.pid !== undefined && readNamespace(child.pid) !== own && isPause(child.pid)) return child.pid
    await sleep(2)
  }
  throw setupError(
    `cannot make a user namespace: ${stderr.trim() || ended || 'it took too long'}; does the kernel allow unprivileged user namespaces?`,
  )
}

function readNamespace(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`)
  } catch {
    return readlinkSync('/proc/self/ns/user')
  }
}

/** `unshare` has done its mounts once it has become the pause program. */
function isPause(pid: number): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'sleep'
}

async function writeMaps(pid: number, { user, programs }: UserNamespaceOptions): Promise<void> {
  const uids = rangesOf('/etc/subuid', { name: user.name, id: user.uid })
  const gids = rangesOf('/etc/subgid', { name: user.name, id: user.uid })
  if (uids.length === 0 || gids.length === 0 || !programs.newuidmap || !programs.newgidmap) {
    writeSingleMap(pid, user)
    return
  }
  await writeMap(programs.newuidmap, pid, rootlessMapping(user.uid, uids))
  await writeMap(programs.newgidmap, pid, rootlessMapping(user.gid, gids))
}

/** Without subordinate ids only the user's own can be mapped: images with files of one owner still work. */
function writeSingleMap(pid: number, user: { uid: number; gid: number }): void {
  writeFileSync(`/proc/${pid}/setgroups`, 'deny')
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${user.uid} 1`)
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${user.gid} 1`)
}

async function writeMap(program: string, pid: number, mapping: readonly IdRange[]): Promise<void> {
  const fields = mapping.flatMap(({ inside, outside, size }) => [inside, outside, size].map(String))
  try {
    await run(program, [String(pid), ...fields], { env: {} })
  } catch (error) {
    throw setupError(`${program} refused the id mapping: ${errorMessage(error).trim()}; check /etc/subuid and /etc/subgid`)
  }
}

function rangesOf(path: string, user: { name: string; id: number }) {
  try {
    return subordinateRanges(readFileSync(path, 'utf8'), user)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

function setupError(message: string): PodlibError {
  return new PodlibError('ERR_ROOTLESS_SETUP', message)
}
