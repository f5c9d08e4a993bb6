import { lstatSync, readdirSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerConfig } from '../bundle/container-config.ts'
import type { HostDeviceNode } from '../bundle/host-facts.ts'
import { errorCode } from '../errors/errors.ts'

/** Virtual file systems of /dev that are no devices, or that every container has its own of. */
const SKIPPED: ReadonlySet<string> = new Set(['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/hugepages', '/dev/fd'])

/** The host's device nodes at and below what a config asks for: for a privileged container all of /dev. */
export function hostDeviceNodes({ devices, security }: ContainerConfig): HostDeviceNode[] {
  const roots = security.privileged ? ['/dev'] : devices.map(({ path }) => path)
  // Only the path itself may be a link to a device: a link further down, such as /dev/stdin, leads to what is listed anyway.
  return roots.flatMap((root) => nodesAt(root, statSync))
}

function nodesAt(path: string, stater: (path: string) => Stats): HostDeviceNode[] {
  if (SKIPPED.has(path)) return []
  const stat = readable(() => stater(path))
  if (stat === undefined) return []
  if (stat.isDirectory()) return (readable(() => readdirSync(path)) ?? []).flatMap((name) => nodesAt(join(path, name), lstatSync))
  if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return []
  const [major, minor] = deviceNumbers(BigInt(stat.rdev))
  return [{ path, type: stat.isBlockDevice() ? 'b' : 'c', major, minor, fileMode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid }]
}

/** Undefined for what is not there, or closed to this user. */
function readable<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ELOOP'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

/** The kernel's packing of a device number. @see makedev(3) */
function deviceNumbers(device: bigint): [major: number, minor: number] {
  return [Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)), Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n))]
}
