import { PodlibError } from '../errors/errors.ts'
import type { SpecCapabilities } from '../spec/runtime.ts'

/** What root in a container keeps: enough for package managers and servers, nothing that reaches the host. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** Every capability of Linux, in the order of capabilities(7)'s bits (include/uapi/linux/capability.h). */
export const ALL_CAPABILITIES: readonly string[] = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST ' +
  'NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE ' +
  'SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM ' +
  'BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`)

const KNOWN = new Set(ALL_CAPABILITIES)

/** The set bits of a `CapBnd` line of /proc/PID/status, as names. */
export function capabilitiesFromMask(hex: string): string[] {
  const mask = BigInt(`0x${hex.trim()}`)
  return ALL_CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n)
}

/**
 * Names as the OCI runtime wants them, from any case, with or without `CAP_`; `ALL` stays.
 *
 * @throws ERR_INVALID_ARGUMENT for a name that no kernel knows.
 */
export function normalizeCapabilities(names: readonly string[]): string[] {
  const normal = names.map((name) => {
    const upper = name.trim().toUpperCase()
    const full = upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`
    if (full === 'ALL' || KNOWN.has(full)) return full
    throw new PodlibError('ERR_INVALID_ARGUMENT', `unknown capability ${JSON.stringify(name)}`, { details: { capability: name } })
  })
  return [...new Set(normal)]
}

/** @throws ERR_INVALID_ARGUMENT when one capability is both added and dropped. */
export function checkAddDrop(add: readonly string[], drop: readonly string[]): void {
  const both = add.find((name) => drop.includes(name))
  if (both) throw new PodlibError('ERR_INVALID_ARGUMENT', `capability ${both} is both added and dropped`, { details: { capability: both } })
}

/** Base, `add` and `drop` (normal names, `ALL` understood), limited to what the host process may hand on. */
export function mergeCapabilities(input: {
  readonly base: readonly string[]
  readonly add: readonly string[]
  readonly drop: readonly string[]
  readonly bounding: readonly string[]
}): string[] {
  const { base, add, drop, bounding } = input
  const named = add.filter((name) => name !== 'ALL')
  const start = drop.includes('ALL') ? [] : add.includes('ALL') ? bounding : base
  const wanted = new Set([...start, ...named])
  for (const name of drop) wanted.delete(name)
  return ALL_CAPABILITIES.filter((name) => wanted.has(name) && bounding.includes(name))
}

/**
 * The five sets of a process. Root holds the container's list. Any other user holds only what was asked for by name,
 * and then as ambient, or the program would lose it at execve. Inheritable is otherwise empty (CVE-2022-27649): a
 * non-empty set would give file capabilities back to programs that the container's user runs.
 */
export function processCapabilities(input: {
  readonly list: readonly string[]
  readonly add: readonly string[]
  readonly uid: number
  readonly bounding: readonly string[]
}): SpecCapabilities {
  const bounding = [...input.list]
  if (input.uid === 0) return { bounding, effective: [...bounding], permitted: [...bounding], inheritable: [], ambient: [] }
  const asked = mergeCapabilities({ base: [], add: input.add, drop: [], bounding: input.bounding })
  const own = asked.filter((name) => input.list.includes(name))
  return { bounding, effective: [...own], permitted: [...own], inheritable: [...own], ambient: [...own] }
}
