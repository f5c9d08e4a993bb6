import type { Runtime as OpenRuntime } from '../../../src/index.ts'
import type { BenchCase } from '../bench-case.ts'
import { Runtime } from '../built-podlib.ts'
import { filledPodlib } from '../filled-store.ts'

export const benchCase: BenchCase = {
  name: 'open-1000',
  title: 'opening a store with 1000 containers',
  unit: 'ms',
  goal: { atMost: 100 },
  rounds: 11,
  async prepare(environment) {
    await filledPodlib(environment, 1000)
    let runtime: OpenRuntime
    return {
      podlib: {
        async measure() {
          runtime = await Runtime.open(environment.runtimeOptions({ name: 'filled-1000' }))
          return undefined
        },
        after: () => runtime.close(),
      },
    }
  },
}
