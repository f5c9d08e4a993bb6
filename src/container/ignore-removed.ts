import { isPodlibError } from '../errors/errors.ts'

/** For `catch`: a container that somebody else has removed meanwhile is what was wanted. */
export function ignoreRemoved(error: unknown): void {
  if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
}
