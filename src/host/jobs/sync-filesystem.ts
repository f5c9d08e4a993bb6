import { closeSync, openSync } from 'node:fs'
import { syncfs } from '../sys/libc.ts'

/** Writes everything of the file system that holds `path` to disk. */
export function syncFilesystem({ path }: { readonly path: string }): void {
  const fd = openSync(path, 'r')
  try {
    syncfs(fd)
  } finally {
    closeSync(fd)
  }
}
