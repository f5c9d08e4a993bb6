import { fileURLToPath } from 'node:url'
import { describe, expect } from '@jest/globals'
import type { HostFacts } from '../../../src/host/host.ts'
import type { HostDescription } from '../../../src/host/jobs/describe-host.ts'
import { outputOf } from '../../helpers/programs.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const CHILD = fileURLToPath(new URL('../../helpers/host-facts-child.ts', import.meta.url))

interface Seen {
  readonly facts: HostFacts
  readonly description: HostDescription
  /** Whether the namespace of a pause process was looked for. */
  readonly asked: boolean
}

async function hostSeenBy(...before: string[]): Promise<Seen> {
  const [program = '', ...args] = [...before, process.execPath, '--no-warnings', CHILD]
  return JSON.parse(await outputOf(program, args)) as Seen
}

describe('the host', () => {
  testNeeding(['root'], 'is used directly with privilege', async () => {
    const { facts, description, asked } = await hostSeenBy()
    const all = [{ inside: 0, outside: 0, size: 4294967295 }]
    expect(facts).toEqual({ inUserNamespace: false, overlayXattrs: 'trusted', makesCgroups: true, uids: all, gids: all })
    expect(description).toMatchObject({ ttyGidMapped: true, canCreateDeviceNodes: true, ownsHostNamespaces: true, uids: all, gids: all })
    expect(description.cgroupControllers).toEqual(expect.arrayContaining(['memory', 'pids', 'devices']))
    expect(asked).toBe(false)
  })

  testNeeding(['root', 'user namespaces'], 'is used directly by root of a user namespace, for what that may do', async () => {
    const { facts, description, asked } = await hostSeenBy('unshare', '--user', '--map-root-user', '--mount')
    const one = [{ inside: 0, outside: 0, size: 1 }]
    expect(facts).toEqual({ inUserNamespace: true, overlayXattrs: 'user', makesCgroups: false, uids: one, gids: one })
    expect(description).toMatchObject({
      cgroupControllers: [],
      ttyGidMapped: false,
      canCreateDeviceNodes: false,
      canLowerOomScoreAdj: false,
      ownsHostNamespaces: false,
      uids: one,
    })
    expect(asked).toBe(false)
  })
})
