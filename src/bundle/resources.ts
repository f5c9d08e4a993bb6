import type { SpecResources } from '../spec/runtime.ts'
import type { ResourcesConfig } from './container-config.ts'
import type { DeviceRule } from './devices.ts'
import type { HostFacts } from './host-facts.ts'

/**
 * `linux.resources`. A limit whose controller the container's cgroup will not have is left out with a warning: the OCI
 * runtime would fail the start.
 */
export function specResources(
  input: { readonly config: ResourcesConfig; readonly deviceRules: readonly DeviceRule[]; readonly facts: HostFacts },
  warnings: string[],
): SpecResources {
  const { config, deviceRules, facts } = input
  const has = (controller: string, asked: boolean) => {
    const present = facts.cgroupControllers.includes(controller)
    if (asked && !present) warnings.push(`the cgroup controller ${controller} is not available: its limits are left out`)
    return asked && present
  }
  const memory = memoryLimits(config, facts, warnings)
  const cpu = definedOnly({ shares: config.cpuShares, quota: config.cpuQuotaMicros, period: config.cpuPeriodMicros })
  const cpuset = definedOnly({ cpus: config.cpusetCpus, mems: config.cpusetMems })
  const useCpu = has('cpu', hasKeys(cpu))
  const useCpuset = has('cpuset', hasKeys(cpuset))
  return {
    ...(deviceRules.length > 0 && { devices: [...deviceRules] }),
    ...(has('memory', hasKeys(memory)) && { memory }),
    ...((useCpu || useCpuset) && { cpu: { ...(useCpu && cpu), ...(useCpuset && cpuset) } }),
    ...(config.pidsLimit !== null && has('pids', true) && { pids: { limit: config.pidsLimit } }),
    ...(config.blkioWeight !== null && has('io', true) && { blockIO: { weight: config.blkioWeight } }),
    ...unifiedFiles(config, facts, warnings),
  }
}

function memoryLimits(config: ResourcesConfig, facts: HostFacts, warnings: string[]): NonNullable<SpecResources['memory']> {
  if (config.memorySwap !== null && !facts.swapLimit) warnings.push('the kernel does not count swap: the swap limit is left out')
  return definedOnly({
    limit: config.memory,
    reservation: config.memoryReservation,
    swap: facts.swapLimit ? config.memorySwap : null,
  })
}

function unifiedFiles(config: ResourcesConfig, facts: HostFacts, warnings: string[]): Pick<SpecResources, 'unified'> {
  if (!hasKeys(config.unified)) return {}
  if (facts.cgroupVersion === 2) return { unified: { ...config.unified } }
  warnings.push('this host has cgroup v1: the files of cgroup v2 are left out')
  return {}
}

type NonNull<T> = { [Key in keyof T]?: NonNullable<T[Key]> }

function definedOnly<T extends Record<string, unknown>>(values: T): NonNull<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as NonNull<T>
}

function hasKeys(value: object): boolean {
  return Object.keys(value).length > 0
}
