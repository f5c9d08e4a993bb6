import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/*
 * Where podlib itself lies, in whichever form it runs: as it was written, or built. In both this file is in a folder of
 * the root of the code; the build sees to it.
 */

/** Path of a module that is started as a process or a thread, such as `programs/host-worker`. */
export function ownFile(module: string): string {
  return fileURLToPath(new URL(`../${module}${extname(import.meta.url)}`, import.meta.url))
}

/** Path of podlib's package.json. */
export function ownPackageFile(): string {
  return fileURLToPath(new URL('../../package.json', import.meta.url))
}
