import { chmodSync, fchmodSync, fchownSync, lchownSync } from 'node:fs'
import type { TarEntry, TarTime } from '../../../archive/tar-entry.ts'
import { errorCode, PodlibError } from '../../../errors/errors.ts'
import { fsetxattr, futimens, lsetxattr, utimensat } from '../../sys/libc.ts'

/** Extended attributes by which an image could reach into the store's own bookkeeping (CVE class "forged overlay xattrs"). */
const FORGEABLE = ['trusted.', 'user.overlay.', 'user.containers.']
const DEFAULT_ACL = 'system.posix_acl_default'

/** Bytes where the path is not plain ASCII. */
export type HostPath = string | Buffer

/** What could not be kept. */
export interface Lost {
  /** Attributes that the file system or the user namespace does not take. */
  ignoredXattrs: number
}

/** What a file or directory gets from the kernel that is made without more ado. Mostly that is what it should have. */
export interface Natural {
  readonly uid: number
  readonly gid: number
  readonly umask: number
}

interface Ownership {
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

/** Sets owner, mode, attributes and times of an open file that was made with the mode, in the order in which they do not undo each other. */
export function applyToFile(fd: number, entry: TarEntry, { natural, lost }: { natural: Natural; lost: Lost }): void {
  if (!isOwned(entry, natural)) changeOwner(entry, () => fchownSync(fd, entry.uid, entry.gid))
  // After chown(2), which clears setuid and security.capability.
  if (!hasMode(entry, natural)) fchmodSync(fd, entry.mode)
  for (const [name, value] of entry.xattrs) setXattr(name, lost, () => fsetxattr(fd, name, value))
  futimens(fd, accessTime(entry), entry.mtime)
}

/** The same for what has no descriptor: links, devices, FIFOs. Nothing is followed. */
export function applyToPath(path: HostPath, entry: TarEntry, lost: Lost): void {
  changeOwner(entry, () => lchownSync(path, entry.uid, entry.gid))
  if (entry.type !== 'symlink') chmodSync(path, entry.mode)
  applyXattrs(path, entry, lost)
  setTimes(path, entry)
}

export function applyXattrs(path: HostPath, entry: TarEntry, lost: Lost): void {
  for (const [name, value] of entry.xattrs) setXattr(name, lost, () => lsetxattr(path, name, value))
}

/** Owner and mode of a directory that was made with the mode 0755. */
export function applyOwnership(path: HostPath, wanted: Ownership, natural: Natural): void {
  if (!isOwned(wanted, natural)) changeOwner(wanted, () => lchownSync(path, wanted.uid, wanted.gid))
  if (wanted.mode !== 0o755 || !hasMode(wanted, natural)) chmodSync(path, wanted.mode)
}

function isOwned({ uid, gid }: Ownership, natural: Natural): boolean {
  return uid === natural.uid && gid === natural.gid
}

function hasMode({ mode }: Ownership, { umask }: Natural): boolean {
  return (mode & ~0o777) === 0 && (mode & umask) === 0
}

/** Sets the attributes of a directory but for a default ACL, which it returns: new children would inherit it. */
export function applyDirectoryXattrs(path: HostPath, entry: TarEntry, lost: Lost): Buffer | undefined {
  let acl: Buffer | undefined
  for (const [name, value] of entry.xattrs) {
    if (name === DEFAULT_ACL) acl = Buffer.from(value)
    else setXattr(name, lost, () => lsetxattr(path, name, value))
  }
  return acl
}

export function setDefaultAcl(path: HostPath, acl: Buffer, lost: Lost): void {
  setXattr(DEFAULT_ACL, lost, () => lsetxattr(path, DEFAULT_ACL, acl))
}

export function setTimes(path: HostPath, entry: { mtime: TarTime; atime: TarTime | undefined }): void {
  utimensat(path, accessTime(entry), entry.mtime, { nofollow: true })
}

function accessTime({ mtime, atime }: { mtime: TarTime; atime: TarTime | undefined }): TarTime {
  return atime && (atime.seconds - mtime.seconds || atime.nanoseconds - mtime.nanoseconds) > 0 ? atime : mtime
}

function setXattr(name: string, lost: Lost, set: () => void): void {
  if (FORGEABLE.some((prefix) => name.startsWith(prefix)) || name === 'security.selinux') return
  try {
    set()
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOSPC') throw new PodlibError('ERR_NO_SPACE', `the file system has no room for the attribute ${name}`, { cause: error })
    if (code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'EPERM') throw error
    lost.ignoredXattrs++
  }
}

function changeOwner({ uid, gid }: Ownership, change: () => void): void {
  try {
    change()
  } catch (error) {
    // The kernel's word for an id that the user namespace does not map.
    if (errorCode(error) !== 'EINVAL') throw error
    const message = `cannot give the file to ${uid}:${gid}: the user namespace does not map these ids, add to /etc/subuid and /etc/subgid`
    throw new PodlibError('ERR_ROOTLESS_SETUP', message, { details: { uid, gid }, cause: error })
  }
}
