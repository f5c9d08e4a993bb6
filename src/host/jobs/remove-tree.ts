import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { findProgram } from '../programs.ts'

/** Removes trees with everything in them; what is not there is no error. Never follows a symbolic link. */
export function removeTree({ paths }: { readonly paths: readonly string[] }): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true })
    } catch {
      // Node's own way recurses and reads names as text: a container can nest deeper, and name in any bytes.
      execFileSync(findProgram('rm'), ['-rf', '--one-file-system', '--', path], { stdio: ['ignore', 'ignore', 'pipe'], env: {} })
    }
  }
}
