import { fileURLToPath } from 'node:url'
import type { Host, HostFacts } from '../../src/host/host.ts'
import { createWorkerHost } from '../../src/host/worker-host.ts'

const ALL_IDS = [{ inside: 0, outside: 0, size: 4294967295 }]
const FACTS = { inUserNamespace: false, overlayXattrs: 'trusted', makesCgroups: true, uids: ALL_IDS, gids: ALL_IDS } as const

/** A host whose worker is a real process of the sources, with the rights of this one. */
export function testHost(facts: Partial<HostFacts> = {}, poolSize?: number): Host {
  const program = fileURLToPath(new URL('../../src/programs/host-worker.ts', import.meta.url))
  const { PATH = '', NODE_COMPILE_CACHE } = process.env
  const env = { PATH, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }) }
  const command = { file: process.execPath, args: ['--max-semi-space-size=2', program], env }
  return createWorkerHost({ facts: { ...FACTS, ...facts } as HostFacts, command: async () => command, ...(poolSize && { poolSize }) })
}
