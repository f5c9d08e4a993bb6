import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { findProgram } from '../programs.ts'
import { unmount } from './unmount.ts'

export interface RemoveTreeInput {
  readonly paths: readonly string[]
  /** Mounts to end first; what is not mounted is no error. */
  readonly unmount?: readonly string[]
}

/**
 * Removes trees with everything in them; what is not there is no error. Never follows a symbolic link. The others go also when
 * one of them cannot be removed.
 */
export function removeTree({ paths, unmount: targets = [] }: RemoveTreeInput): void {
  unmount({ targets })
  const failures = paths.flatMap((path) => {
    try {
      removeOne(path)
      return []
    } catch (error) {
      return [error]
    }
  })
  if (failures.length > 0) throw failures[0]
}

function removeOne(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch {
    // Node's own way recurses and reads names as text: a container can nest deeper, and name in any bytes.
    execFileSync(findProgram('rm'), ['-rf', '--one-file-system', '--', path], { stdio: ['ignore', 'ignore', 'pipe'], env: {} })
  }
}
