import { closeSync, existsSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs'
import { basename } from 'node:path'
import { executableAnonymousFile, seal } from './sys/posix-spawn.ts'

interface SealedCopy {
  readonly fd: number
  /** Tells the file that was copied from one that an upgrade put in its place. */
  readonly identity: string
}

// Descriptors belong to the process; a copy is dropped when the program on disk changes.
const copies = new Map<string, SealedCopy>()

const ELF_MAGIC = '\x7fELF'
const SETID_BITS = 0o6000

/**
 * A path that runs a sealed in-memory copy of a program, or the program's own path where that is not
 * possible.
 *
 * crun and runc defend themselves against being overwritten by a container (CVE-2019-5736): at every
 * start they copy themselves or bind mount themselves read-only and execute that. A program that already
 * runs from a fully sealed memory file skips it, which saves a mount, an unmount and a second start: 1.5 ms
 * of every call.
 *
 * @see memfd_create(2), fcntl(2) F_ADD_SEALS
 */
export function sealedProgram(path: string): string {
  const { dev, ino, size, mtimeMs, mode } = statSync(path)
  const identity = `${dev}:${ino}:${size}:${mtimeMs}`
  const known = copies.get(path)
  if (known?.identity === identity) return pathOf(known.fd)
  if (known) closeSync(known.fd)
  copies.delete(path)
  if ((mode & SETID_BITS) !== 0 || !isElf(path) || confinesByPath()) return path
  const fd = copy(path)
  if (fd === undefined) return path
  copies.set(path, { fd, identity })
  return pathOf(fd)
}

/** Named by process number, not `self`: conmon starts the runtime from this path too. */
function pathOf(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`
}

/** A script needs its file to be there when its interpreter starts. */
function isElf(path: string): boolean {
  const magic = Buffer.alloc(ELF_MAGIC.length)
  const fd = openSync(path, 'r')
  try {
    readSync(fd, magic, 0, magic.length, 0)
  } finally {
    closeSync(fd)
  }
  return magic.toString('latin1') === ELF_MAGIC
}

/** SELinux chooses a domain by the program's label, Ubuntu's AppArmor a profile by its path: both need the file itself. */
function confinesByPath(): boolean {
  return existsSync('/sys/fs/selinux/enforce') || sysctl('kernel/apparmor_restrict_unprivileged_userns') === '1'
}

function sysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'latin1').trim()
  } catch {
    return undefined
  }
}

function copy(path: string): number | undefined {
  let fd: number | undefined
  try {
    fd = executableAnonymousFile(basename(path))
    const bytes = readFileSync(path)
    for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
    seal(fd)
    return fd
  } catch {
    // `vm.memfd_noexec=2` or a kernel without sealing: the program on disk does the same, more slowly.
    if (fd !== undefined) closeSync(fd)
    return undefined
  }
}
