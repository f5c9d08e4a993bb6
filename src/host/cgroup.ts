import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../errors/errors.ts'

/** How the host mounts its cgroups. Hybrid hosts, where v2 stands beside v1 without controllers, count as v1. */
export interface CgroupLayout {
  readonly version: 1 | 2
  /** Mount point of each controller of v1 (`memory`, `cpu`, ...); with v2 empty. */
  readonly controllers: Readonly<Record<string, string>>
  /** Mount point of v2; also on hybrid hosts. */
  readonly unified: string | undefined
}

const CGROUP2_SUPER_MAGIC = 0x63677270
const ROOT = '/sys/fs/cgroup'

/** The layout of this host. */
export function readCgroupLayout(): CgroupLayout {
  return parseCgroupLayout(readFileSync('/proc/self/mounts', 'utf8'), statfsSync(ROOT).type === CGROUP2_SUPER_MAGIC)
}

/**
 * @param mounts text of `/proc/self/mounts`
 * @param isUnified whether `/sys/fs/cgroup` itself is a v2 file system
 */
export function parseCgroupLayout(mounts: string, isUnified: boolean): CgroupLayout {
  const controllers: Record<string, string> = {}
  let unified = isUnified ? ROOT : undefined
  for (const line of mounts.split('\n')) {
    const [, target, type, options = ''] = line.split(' ')
    if (target === undefined) continue
    if (type === 'cgroup2') unified ??= target
    if (type !== 'cgroup' || isUnified) continue
    // Mount options and controllers stand in one list; what is no controller is never asked for.
    for (const option of options.split(',')) controllers[option] ??= target
  }
  return { version: isUnified ? 2 : 1, controllers, unified }
}

/** A cgroup as the OCI runtime is told of it (`/podlib/podlib-<id>`) in the hierarchy of a controller; undefined when the host lacks that. */
export function cgroupDirectory(layout: CgroupLayout, path: string, controller: string): string | undefined {
  const mount = layout.version === 2 ? layout.unified : layout.controllers[controller]
  return mount === undefined ? undefined : join(mount, path)
}

/** Whether a cgroup is there, in any hierarchy. */
export function hasCgroup(layout: CgroupLayout, path: string): boolean {
  const mounts = layout.version === 2 ? [layout.unified] : Object.values(layout.controllers)
  return [...new Set(mounts)].some((mount) => mount !== undefined && existsSync(join(mount, path)))
}

/** What a container uses. Absent: the host does not count it. */
export interface CgroupStats {
  readonly cpuNs?: number
  /** Without the part of the page cache that the kernel can take back at once. */
  readonly memoryBytes?: number
  /** Undefined when unlimited. */
  readonly memoryLimitBytes?: number
  readonly pids?: number
  readonly readBytes?: number
  readonly writtenBytes?: number
}

/** Reads what a cgroup has used; undefined when it is gone. */
export function readCgroupStats(layout: CgroupLayout, path: string): CgroupStats | undefined {
  const read = (controller: string, file: string): string | undefined => {
    const directory = cgroupDirectory(layout, path, controller)
    return directory === undefined ? undefined : readOrNothing(join(directory, file))
  }
  const stats = layout.version === 2 ? parseCgroup2Stats((file) => read('', file)) : parseCgroup1Stats(read)
  return Object.keys(stats).length === 0 ? undefined : stats
}

/** @see https://docs.kernel.org/admin-guide/cgroup-v2.html */
export function parseCgroup2Stats(read: (file: string) => string | undefined): CgroupStats {
  const cpu = keyed(read('cpu.stat'))
  const memory = number(read('memory.current'))
  const io = read('io.stat')
  return defined({
    cpuNs: scaled(cpu.usage_usec, 1000),
    memoryBytes: less(memory, keyed(read('memory.stat')).inactive_file),
    memoryLimitBytes: number(read('memory.max')),
    pids: number(read('pids.current')),
    readBytes: sumOf(io, /rbytes=(\d+)/g),
    writtenBytes: sumOf(io, /wbytes=(\d+)/g),
  })
}

/** @see https://docs.kernel.org/admin-guide/cgroup-v1/index.html */
export function parseCgroup1Stats(read: (controller: string, file: string) => string | undefined): CgroupStats {
  const memory = number(read('memory', 'memory.usage_in_bytes'))
  const io = read('blkio', 'blkio.throttle.io_service_bytes')
  return defined({
    cpuNs: number(read('cpuacct', 'cpuacct.usage')),
    memoryBytes: less(memory, keyed(read('memory', 'memory.stat')).total_inactive_file),
    memoryLimitBytes: limit(number(read('memory', 'memory.limit_in_bytes'))),
    pids: number(read('pids', 'pids.current')),
    readBytes: sumOf(io, /Read (\d+)/g),
    writtenBytes: sumOf(io, /Write (\d+)/g),
  })
}

function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    // ENODEV: removed between opening and reading. EOPNOTSUPP: the controller is there but counts nothing.
    if (['ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

/** Files of lines with a name and a number. */
function keyed(text: string | undefined): Readonly<Record<string, number>> {
  const pairs = (text ?? '').split('\n').map((line) => line.split(' '))
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined).map(([key, value]) => [key, Number(value)]))
}

/** `max` is no number: no limit. */
function number(text: string | undefined): number | undefined {
  const value = Number.parseInt(text ?? '', 10)
  return Number.isNaN(value) ? undefined : value
}

/** v1 writes "no limit" as the largest multiple of the page size. */
function limit(bytes: number | undefined): number | undefined {
  return bytes !== undefined && bytes < 2 ** 62 ? bytes : undefined
}

function less(value: number | undefined, part: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.max(0, value - (part ?? 0))
}

function scaled(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor
}

function sumOf(text: string | undefined, pattern: RegExp): number | undefined {
  if (text === undefined) return undefined
  return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0)
}

function defined(stats: { readonly [Key in keyof CgroupStats]: CgroupStats[Key] | undefined }): CgroupStats {
  return Object.fromEntries(Object.entries(stats).filter(([, value]) => value !== undefined))
}
