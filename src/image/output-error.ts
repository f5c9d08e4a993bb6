import { errorCode, PodlibError } from '../errors/errors.ts'

/** What the system says of a file that could not be written, in our words; anything else as it is. */
export function outputError(error: unknown, path: string): unknown {
  const code = errorCode(error)
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return error
  const kind =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'ERR_NO_SPACE'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'ERR_PERMISSION'
        : 'ERR_INVALID_ARGUMENT'
  return new PodlibError(kind, `cannot save to ${path}: ${code}`, { details: { path, systemCode: code }, cause: error })
}
