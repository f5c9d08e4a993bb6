import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../errors/errors.ts'
import { exitStatus } from '../../host/exit-status.ts'
import type { ExitRecord } from '../monitor.ts'

/**
 * Reads what conmon leaves of a container's end: a file named by the container that holds the decimal exit
 * code, written whole, and an empty file `oom` in the persistent directory.
 */
export function readExitRecord(exits: string, persist: string, id: string): ExitRecord | undefined {
  const path = join(exits, id)
  let text: string
  let finishedAt: number
  try {
    text = readFileSync(path, 'latin1')
    finishedAt = Math.round(statSync(path).mtimeMs)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
  const code = parseExitCode(text)
  return code === undefined ? undefined : { ...exitStatus(code), oomKilled: existsSync(join(persist, 'oom')), finishedAt }
}

/** conmon writes -1 when it had to kill the container. */
export function parseExitCode(text: string): number | undefined {
  return /^-?\d+\s*$/.test(text) ? Number(text) : undefined
}
