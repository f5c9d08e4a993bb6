import { chmodSync, lstatSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../errors/errors.ts'

/** Removes trees with everything in them; what is not there is no error. Never follows a symbolic link, never crosses into a mount. */
export function removeTree({ paths }: { readonly paths: readonly string[] }): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true })
    } catch (error) {
      // In a user namespace root still needs permission on directories of unmapped or foreign owners' modes.
      if (errorCode(error) !== 'EACCES') throw error
      openDirectories(path)
      rmSync(path, { recursive: true, force: true })
    }
  }
}

function openDirectories(path: string): void {
  if (!lstatSync(path).isDirectory()) return
  chmodSync(path, 0o700)
  for (const name of readdirSync(path)) openDirectories(join(path, name))
}
