import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { parseCgroupLayout } from './cgroup.ts'

let membership: string | undefined

/**
 * Makes the kernel ready to move a process into a cgroup. The first move after some 30 ms without one
 * waits for every processor to pass through the scheduler, 5 to 20 ms; those that follow take
 * microseconds. The OCI runtime comes to its first move some milliseconds after its start, so a move that
 * changes nothing, of this process to where it already is, begins the wait now, beside everything else.
 *
 * @see kernel/cgroup/cgroup.c cgroup_attach_lock, kernel/rcu/sync.c
 */
export function hastenCgroups(): void {
  membership ??= ownCgroup() ?? ''
  if (membership !== '') writeFile(membership, String(process.pid)).catch(forgetIt)
}

/** Without the right to write there nothing is lost but the head start. */
function forgetIt(): void {
  membership = ''
}

/** `cgroup.procs` of the cgroup that this process is in, in any one hierarchy. */
function ownCgroup(): string | undefined {
  const { unified, controllers } = parseCgroupLayout(readFileSync('/proc/self/mounts', 'utf8'), false)
  const memberships = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')
  for (const line of memberships.toReversed()) {
    const [, names = '', path = '/'] = line.split(':')
    const mount = names === '' ? unified : controllers[names.split(',')[0] as string]
    if (mount !== undefined) return `${mount}${path === '/' ? '' : path}/cgroup.procs`
  }
  return undefined
}
