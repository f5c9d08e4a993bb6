import { lstatSync, mkdirSync, type Stats } from 'node:fs'
import { PodlibError } from '../errors/errors.ts'

const WRITABLE_BY_OTHERS = 0o022

/**
 * Makes a directory that only its user may enter, or accepts one that is there when nobody else can have put anything into
 * it: in a shared directory such as /tmp somebody else may have been first.
 *
 * @throws ERR_STORE_UNREADABLE for somebody else's directory, a link, or one that others may write
 */
export function makePrivateDirectory(path: string, uid: number): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const stat = lstatSync(path)
  const why = distrust(stat, uid)
  if (why === undefined) return
  throw new PodlibError('ERR_STORE_UNREADABLE', `${path} ${why}: what is in it cannot be trusted; choose another directory`, {
    details: { path, uid: stat.uid, mode: stat.mode & 0o7777 },
  })
}

function distrust(stat: Stats, uid: number): string | undefined {
  if (!stat.isDirectory()) return 'is a link'
  if (stat.uid !== uid) return `belongs to user ${stat.uid}`
  return (stat.mode & WRITABLE_BY_OTHERS) === 0 ? undefined : 'may be written by other users'
}
