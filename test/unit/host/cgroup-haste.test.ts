import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from '@jest/globals'
import { hastenCgroups } from '../../../src/host/cgroup-haste.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const DEADLINE_MS = 3_000

/** The files `cgroup.procs` that this process has open. */
function openMembershipFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      return path.endsWith('/cgroup.procs') ? [path] : []
    } catch {
      // The one of the listing itself.
      return []
    }
  })
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it did not come to that in time')
    await sleep(5)
  }
}

describe('readiness to move processes between cgroups', () => {
  testNeeding(['root'], 'is kept once however often it is asked for, moves this process nowhere, and ends by itself', async () => {
    const before = readFileSync('/proc/self/cgroup', 'utf8')
    hastenCgroups()
    hastenCgroups()
    await until(() => openMembershipFiles().length > 0)
    hastenCgroups()
    await sleep(30)
    const [path, ...others] = openMembershipFiles()
    expect(others).toEqual([])
    expect(readFileSync(path as string, 'utf8').split('\n')).toContain(String(process.pid))
    await until(() => openMembershipFiles().length === 0)
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toBe(before)
  })

  testNeeding(['root'], 'comes again when it is asked for after its end', async () => {
    hastenCgroups()
    await until(() => openMembershipFiles().length > 0)
    await until(() => openMembershipFiles().length === 0)
    hastenCgroups()
    await until(() => openMembershipFiles().length > 0)
    await until(() => openMembershipFiles().length === 0)
  })
})
