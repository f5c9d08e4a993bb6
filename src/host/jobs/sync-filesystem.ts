import { closeSync, openSync } from 'node:fs'
import { syncfsAsync } from '../sys/libc.ts'

export interface SyncFilesystemInput {
  /** Any directory of the file system. */
  readonly directory: string
}

/** Writes everything that a file system has in memory to its disk. Other jobs go on meanwhile. */
export async function syncFilesystem({ directory }: SyncFilesystemInput): Promise<void> {
  const fd = openSync(directory, 'r')
  try {
    await syncfsAsync(fd)
  } finally {
    closeSync(fd)
  }
}
