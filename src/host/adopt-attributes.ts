import { chmodSync, lchownSync, lstatSync } from 'node:fs'
import { errorCode } from '../errors/errors.ts'
import { lgetxattr, llistxattr, lsetxattr, type TimeSpec, utimensat } from './sys/libc.ts'

/** Overlay's own, which say what a directory is to the layers below it, and the label, which goes by what the host uses it for. */
const NOT_ITS_OWN = /^(?:trusted\.overlay\.|user\.overlay\.|security\.selinux$)/
/** The file system or the user namespace does not take the attribute: unpacking has lost it the same way. */
const NOT_TAKEN: ReadonlySet<string | undefined> = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EPERM'])

/** Gives a directory the owner, mode, extended attributes and times of another. */
export function adoptAttributes(copy: string | Buffer, original: string | Buffer): void {
  const { uid, gid, mode, mtimeNs, atimeNs } = lstatSync(original, { bigint: true })
  lchownSync(copy, Number(uid), Number(gid))
  // After chown, which takes the set-id bits away.
  chmodSync(copy, Number(mode) & 0o7777)
  for (const name of llistxattr(original)) if (!NOT_ITS_OWN.test(name)) copyXattr(copy, original, name)
  utimensat(copy, timeSpec(atimeNs), timeSpec(mtimeNs), { nofollow: true })
}

function copyXattr(copy: string | Buffer, original: string | Buffer, name: string): void {
  const value = lgetxattr(original, name)
  try {
    if (value !== undefined) lsetxattr(copy, name, value)
  } catch (error) {
    if (!NOT_TAKEN.has(errorCode(error))) throw error
  }
}

const SECOND_NS = 1_000_000_000n

function timeSpec(time: bigint): TimeSpec {
  const nanoseconds = ((time % SECOND_NS) + SECOND_NS) % SECOND_NS
  return { seconds: Number((time - nanoseconds) / SECOND_NS), nanoseconds: Number(nanoseconds) }
}
