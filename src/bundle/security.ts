import type { SecurityConfig } from './container-config.ts'
import type { HostFacts } from './host-facts.ts'

/** Files that tell of the host or of other containers, or that reach its hardware (CVE-2017-16539, CVE-2018-10892). */
const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/selinux',
]

const READONLY_PATHS = ['/proc/asound', '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

export interface ProtectedPaths {
  readonly maskedPaths: string[]
  readonly readonlyPaths: string[]
}

/** Paths to mask and to make read-only. `sysfsIsHosts`: /sys is the host's, so what is below shows its network. */
export function protectedPaths(security: SecurityConfig, facts: HostFacts, sysfsIsHosts: boolean): ProtectedPaths {
  if (security.privileged) return { maskedPaths: [], readonlyPaths: [] }
  const masked = [...MASKED_PATHS, ...facts.thermalThrottlePaths, ...(sysfsIsHosts ? ['/sys/kernel'] : [])]
  const { unmaskedPaths } = security
  const kept = (path: string) => unmaskedPaths !== 'all' && !unmaskedPaths.some((pattern) => matches(path, pattern))
  return {
    maskedPaths: [...new Set([...masked.filter(kept), ...security.maskedPaths])],
    readonlyPaths: READONLY_PATHS.filter(kept),
  }
}

function matches(path: string, pattern: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern
}
