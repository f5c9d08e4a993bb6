import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { parseCgroupLayout } from './cgroup.ts'

/** Where one container was started, the next one mostly follows soon. */
const READY_MS = 300
/** The kernel forgets after some 20 ms. */
const REPEAT_MS = 12

let readyUntil = 0
let isKept = false

/**
 * Makes the kernel ready to move a process into a cgroup, and keeps it so for a moment. The first move after some 20 ms
 * without one waits for every processor to pass through the scheduler, 5 to 20 ms; those that follow take microseconds. The
 * OCI runtime comes to its first move some milliseconds after its start, so a move that changes nothing, of this process to
 * where it already is, begins the wait now, beside everything else. Each further one costs 20 µs.
 *
 * @see kernel/cgroup/cgroup.c cgroup_attach_lock, kernel/rcu/sync.c
 */
export function hastenCgroups(): void {
  readyUntil = performance.now() + READY_MS
  if (!isKept) keepReady()
}

function keepReady(): void {
  isKept = true
  const end = (again: boolean) => {
    isKept = false
    if (again) keepReady()
  }
  // Asked for while it was ending. Without the right to write there nothing is lost but the head start.
  moveInPlace().then(
    () => end(performance.now() < readyUntil),
    () => end(false),
  )
}

async function moveInPlace(): Promise<void> {
  // Looked up each time: somebody may have moved this process meanwhile.
  const path = ownCgroup()
  if (path === undefined) throw new Error('this process is in no cgroup that is mounted')
  const processes = await open(path, 'w')
  try {
    while (performance.now() < readyUntil) {
      // The process that writes.
      await processes.write('0')
      await delay(REPEAT_MS, undefined, { ref: false })
    }
  } finally {
    await processes.close()
  }
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
