import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { loadedFilter } from '../helpers/loaded-filter.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()

/** The filter that the kernel has for a new container's program, and whether crun was given a compiled one. */
async function filterOf(store: RuntimeStore, runtime: Runtime): Promise<{ filter: Buffer; given: boolean }> {
  const container = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'] })
  const info = await container.inspect()
  const pid = ('pid' in info && info.pid) || 0
  // The init sets the filter, then becomes the program.
  await eventually(() => expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('sleep\n'))
  const config = readFileSync(join(store.runRoot, 'bundles', container.id, 'config.json'), 'utf8')
  const filter = loadedFilter(pid)
  await container.remove({ force: true })
  return { filter, given: config.includes('run.oci.seccomp_bpf_data') }
}

testNeeding(
  RUNTIME_NEEDS,
  'the kernel runs the same filter for the default profile, compiled by crun or kept from an earlier container',
  async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const compiled = await filterOf(store, runtime)
    const given = await filterOf(store, runtime)
    expect([compiled.given, given.given]).toEqual([false, true])
    expect(compiled.filter.length).toBeGreaterThan(1000)
    expect(given.filter.equals(compiled.filter)).toBe(true)
    // What a later process takes from the disk is that filter too.
    const [file = ''] = readdirSync(join(store.root, 'cache/seccomp'))
    const kept = readFileSync(join(store.root, 'cache/seccomp', file))
    expect(kept.subarray(0, compiled.filter.length).equals(compiled.filter)).toBe(true)
  },
)
