import { readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import { isSameProcess, listProcesses, readBootId, readProcess, signalProcess } from './proc.ts'

/**
 * The record of a *pause process*: a program that does nothing but keep a user and a mount namespace alive while no other
 * process is in them.
 */
export interface PauseRecord {
  readonly pid: number
  readonly startTime: number
  readonly bootId: string
  /** The kernel's names of the namespaces: `user:[4026532281]`. */
  readonly userNamespace: string
  readonly mountNamespace: string
}

const recordPath = (runRoot: string) => join(runRoot, 'pause.json')

/** What was recorded since the machine was started; the process may be gone. @throws ERR_ROOTLESS_SETUP for a file that is no record */
export function readPauseRecord(runRoot: string): PauseRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordPath(runRoot), 'utf8')) as PauseRecord
    return record.bootId === readBootId() ? record : undefined
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    const text = `cannot read the record of the pause process ${recordPath(runRoot)}: ${errorMessage(error)}; remove the file`
    throw new PodlibError('ERR_ROOTLESS_SETUP', text, { cause: error })
  }
}

/** Records a process as the one that keeps its namespaces. */
export function recordPause(runRoot: string, pid: number): void {
  const record: PauseRecord = {
    pid,
    startTime: readProcess(pid)?.startTime ?? 0,
    bootId: readBootId(),
    userNamespace: namespaceOf(pid, 'user') ?? '',
    mountNamespace: namespaceOf(pid, 'mnt') ?? '',
  }
  writeFileSync(`${recordPath(runRoot)}.new`, JSON.stringify(record), { mode: 0o600 })
  renameSync(`${recordPath(runRoot)}.new`, recordPath(runRoot))
}

export function isPauseAlive({ pid, startTime }: PauseRecord): boolean {
  return isSameProcess(pid, startTime)
}

/**
 * A process that is still in both namespaces of a pause process that was killed: a monitor, or a worker of another
 * program. Its containers can be reached through it.
 */
export function findMember({ userNamespace, mountNamespace }: PauseRecord): number | undefined {
  const member = listProcesses().find(({ pid }) => namespaceOf(pid, 'user') === userNamespace && namespaceOf(pid, 'mnt') === mountNamespace)
  return member?.pid
}

/** Kills the pause process, with which the namespaces and their mounts go when nobody else is in them. */
export function endPause(runRoot: string): void {
  const record = readPauseRecord(runRoot)
  if (record === undefined) return
  signalProcess(record, 'SIGKILL')
  rmSync(recordPath(runRoot), { force: true })
}

/** The kernel's name of a process's namespace; undefined for one that is gone or somebody else's. */
export function namespaceOf(pid: number | 'self', type: 'user' | 'mnt'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${type}`)
  } catch {
    return undefined
  }
}
