import { closeSync, openSync } from 'node:fs'
import { errorCode, errorMessage, PodlibError } from '../../errors/errors.ts'
import { syncfsAsync } from '../sys/libc.ts'

export interface SyncFilesystemInput {
  /** Any directory of the file system. */
  readonly directory: string
}

/**
 * Writes everything that a file system has in memory to its disk. Other jobs go on meanwhile. What the disk refuses is lost,
 * whatever it was and whoever wrote it; and the kernel tells that once: a further call would succeed.
 *
 * @throws ERR_SYNC_FAILED
 * @see syncfs(2)
 */
export async function syncFilesystem({ directory }: SyncFilesystemInput): Promise<void> {
  const fd = openSync(directory, 'r')
  try {
    await syncfsAsync(fd)
  } catch (error) {
    const systemCode = errorCode(error)
    const text = `the disk below ${directory} has not taken what was written to it: ${errorMessage(error)}; make room, or look into the kernel's log`
    throw new PodlibError('ERR_SYNC_FAILED', text, { details: { path: directory, systemCode }, cause: error })
  } finally {
    closeSync(fd)
  }
}
