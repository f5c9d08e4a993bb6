import type { Context } from '../lifecycle/context.ts'

/** A container's cgroup, as the OCI runtime is told of it. */
export function cgroupPath(context: Context, parent: string | null, id: string): string {
  return `${parent ?? context.defaults.cgroupParent ?? '/podlib'}/podlib-${id}`
}
