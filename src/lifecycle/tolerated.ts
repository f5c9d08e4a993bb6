import { errorCode, isPodlibError } from '../errors/errors.ts'

/**
 * Does what recovery can do without: a disk that gives errors, a file that cannot be removed, a lock that somebody holds must
 * not keep a store from being opened.
 */
export async function tolerated(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    // Anything but a failure of podlib or of the system is a mistake in the program.
    if (!isPodlibError(error) && errorCode(error) === undefined) throw error
  }
}
