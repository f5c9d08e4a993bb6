import type { PodlibErrorCode } from '../errors/codes.ts'
import { errorCode, errorMessage, isPodlibError, PodlibError } from '../errors/errors.ts'

/** Another connection holds the lock that was asked for: try again later. */
export function isBusy(error: unknown): boolean {
  const code = errorCode(error) ?? ''
  return code === 'SQLITE_BUSY' || code.startsWith('SQLITE_BUSY_') || code === 'SQLITE_LOCKED'
}

/** The disk, or what is above it, has refused to read or write. */
export function isOfDisk(error: unknown): boolean {
  return /^SQLITE_(IOERR|FULL)/.test(errorCode(error) ?? '')
}

/** A row refers to another that is missing, or is referred to by another that needs it. */
export function isReferenceViolation(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'SQLITE_CONSTRAINT_FOREIGNKEY' || code === 'SQLITE_CONSTRAINT_TRIGGER'
}

/** A row with this key is there already. */
export function isDuplicate(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY' || code === 'SQLITE_CONSTRAINT_ROWID'
}

const MEANINGS: readonly { readonly codes: RegExp; readonly code: PodlibErrorCode; readonly what: string; readonly advice: string }[] = [
  {
    codes: /^SQLITE_(CORRUPT|NOTADB|FORMAT)/,
    code: 'ERR_STORE_CORRUPT',
    what: 'is damaged or not a podlib store',
    advice: 'move it away with its -wal and -shm files and restore a copy, or start with an empty root',
  },
  { codes: /^SQLITE_FULL/, code: 'ERR_NO_SPACE', what: 'cannot grow', advice: 'free space on its file system' },
  {
    codes: /^SQLITE_(CANTOPEN|PERM|AUTH|READONLY|IOERR|NOLFS|PROTOCOL|NOMEM)/,
    code: 'ERR_STORE_UNREADABLE',
    what: 'cannot be read or written',
    advice: 'check its owner, mode and file system',
  },
]

/**
 * What an error of SQLite means for the store at `path`. Errors of podlib and of the caller's own code pass unchanged; a
 * violated constraint that no table has translated is a bug of podlib.
 */
export function storeError(error: unknown, path: string): unknown {
  const code = errorCode(error)
  if (code === undefined || isPodlibError(error)) return error
  const meaning = MEANINGS.find(({ codes }) => codes.test(code))
  const details = { path, sqliteCode: code }
  if (meaning) {
    const text = `state database ${path} ${meaning.what}: ${errorMessage(error)} (${code}); ${meaning.advice}`
    return new PodlibError(meaning.code, text, { details, cause: error })
  }
  if (!code.startsWith('SQLITE_')) return error
  return new PodlibError('ERR_INTERNAL', `state database ${path} refused a statement: ${errorMessage(error)}`, { details, cause: error })
}

/** What an error means that came before SQLite had the file: a directory that is missing or closed to us. */
export function openError(error: unknown, path: string): unknown {
  const code = errorCode(error)
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return storeError(error, path)
  const text = `state database ${path} cannot be opened: ${errorMessage(error)}; create its directory or choose another root`
  return new PodlibError('ERR_STORE_UNREADABLE', text, { details: { path, systemCode: code }, cause: error })
}
