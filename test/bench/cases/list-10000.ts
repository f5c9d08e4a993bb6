import type { Runtime } from '../../../src/index.ts'
import { type BenchCase, timed } from '../bench-case.ts'
import { filledPodlib } from '../filled-store.ts'

/** Without a peer: podman takes the better part of an hour to create as many. */
export const benchCase: BenchCase = {
  name: 'list-10000',
  title: 'list of 10,000 containers',
  unit: 'ms',
  goal: { atMost: 25 },
  rounds: 11,
  async prepare(environment) {
    const runtime = await filledPodlib(environment, 10_000)
    // A runtime remembers what it has listed, but not at its first time.
    let fresh: Runtime
    const around = {
      before: async () => {
        fresh = await environment.openRuntime({ name: 'filled-10000' })
      },
      after: () => fresh.close(),
    }
    return {
      podlib: timed(() => runtime.containers.list()),
      others: [{ name: 'the first', ...timed(() => fresh.containers.list(), around) }],
    }
  },
}
