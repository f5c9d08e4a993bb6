import type { ContainerConfig } from '../bundle/container-config.ts'
import { cgroupDirectory } from '../host/cgroup.ts'
import type { Context } from '../lifecycle/context.ts'

/** A container's cgroup, as the OCI runtime is told of it. */
export function cgroupPath(context: Context, parent: string | null, id: string): string {
  return `${parent ?? context.defaults.cgroupParent ?? '/podlib'}/podlib-${id}`
}

/** Where to learn that the kernel killed for want of memory: only a container with a limit can run out of it alone. */
export async function limitedMemoryCgroup(context: Context, id: string, config: ContainerConfig): Promise<string | undefined> {
  if (config.resources.memory === null) return undefined
  const { facts, cgroups } = await context.machine()
  if (!facts.cgroupControllers.includes('memory')) return undefined
  return cgroupDirectory(cgroups, cgroupPath(context, config.cgroupParent, id), 'memory')
}
