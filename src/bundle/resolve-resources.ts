import { parseSize } from '../util/quantity.ts'
import { checkContainerPath, refused, shown } from './check.ts'
import type { ConfigDefaults } from './config-defaults.ts'
import type { DeviceConfig, ResourcesConfig } from './container-config.ts'
import type { ResourceOptions, SecurityOptions } from './container-options.ts'

const CPU_PERIOD_MICROS = 100_000
/** The kernel refuses quotas under a millisecond (Documentation/scheduler/sched-bwc.rst). */
const MIN_CPU_QUOTA_MICROS = 1000
const CPU_LIST = /^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*$/

export function resolveResources(options: ResourceOptions, defaults: ConfigDefaults): ResourcesConfig {
  const memory = optionalSize(options.memory, 'memory')
  if (memory === 0) throw refused('options', 'memory 0 would end the container at once: leave it out for no limit')
  const memoryReservation = optionalSize(options.memoryReservation, 'memoryReservation')
  if (memory !== null && memoryReservation !== null && memoryReservation > memory) {
    throw refused('options', `memoryReservation ${memoryReservation} is above memory ${memory}`)
  }
  return {
    memory,
    memoryReservation,
    memorySwap: resolveSwap(memory, options.memorySwap),
    ...resolveCpus(options.cpus),
    cpuShares: options.cpuShares ?? null,
    cpusetCpus: checkCpuList(options.cpusetCpus, 'cpusetCpus'),
    cpusetMems: checkCpuList(options.cpusetMems, 'cpusetMems'),
    pidsLimit: resolvePids(options.pidsLimit, defaults.pidsLimit),
    blkioWeight: options.blkioWeight ?? null,
    unified: checkUnified(options.unified ?? {}),
  }
}

/** A device given as text is its host path. */
export function resolveDevices(devices: NonNullable<SecurityOptions['devices']>): DeviceConfig[] {
  return devices.map((device) => {
    const { path, containerPath, permissions = 'rwm' } = typeof device === 'string' ? { path: device } : device
    if (!/^(?!.*(.).*\1)[rwm]{1,3}$/.test(permissions))
      throw refused('options', `device permissions ${shown(permissions)} are not some of r, w and m`)
    const source = checkContainerPath(path, 'device path')
    return { path: source, containerPath: checkContainerPath(containerPath ?? source, 'device path in the container'), permissions }
  })
}

/** Twice the memory unless said otherwise: as much swap as memory, as every container engine does. */
function resolveSwap(memory: number | null, swap: ResourceOptions['memorySwap']): number | null {
  if (swap === undefined) return memory === null ? null : memory * 2
  if (swap === 'unlimited' || swap === -1) return -1
  const total = parseSize(swap, 'memorySwap')
  if (memory === null) throw refused('options', 'memorySwap counts memory and swap together: give memory too')
  if (total < memory) throw refused('options', `memorySwap ${total} is below memory ${memory}: it counts memory and swap together`)
  return total
}

function resolveCpus(cpus: number | undefined): Pick<ResourcesConfig, 'cpuQuotaMicros' | 'cpuPeriodMicros'> {
  if (cpus === undefined) return { cpuQuotaMicros: null, cpuPeriodMicros: null }
  const quota = Math.round(cpus * CPU_PERIOD_MICROS)
  if (!(quota >= MIN_CPU_QUOTA_MICROS)) throw refused('options', `cpus ${cpus} is below 0.01, the least that the kernel can measure`)
  return { cpuQuotaMicros: quota, cpuPeriodMicros: CPU_PERIOD_MICROS }
}

function resolvePids(pids: ResourceOptions['pidsLimit'], fallback: number | null): number | null {
  if (pids === undefined) return fallback
  return pids === 'unlimited' || pids <= 0 ? null : pids
}

function optionalSize(value: number | string | undefined, what: string): number | null {
  return value === undefined ? null : parseSize(value, what)
}

function checkCpuList(list: string | undefined, what: string): string | null {
  if (list === undefined) return null
  if (!CPU_LIST.test(list)) throw refused('options', `invalid ${what} ${shown(list)}: write '0-2,5'`)
  return list
}

/** Keys become file names below the cgroup, so they are held to the kernel's own form. */
function checkUnified(unified: Readonly<Record<string, string>>): Record<string, string> {
  for (const [file, value] of Object.entries(unified)) {
    if (!/^[a-z0-9_]+(?:\.[A-Za-z0-9_-]+)+$/.test(file)) throw refused('options', `invalid cgroup file ${shown(file)}`)
    if (value.includes('\0')) throw refused('options', `the value of the cgroup file ${file} holds a NUL character`)
  }
  return { ...unified }
}
