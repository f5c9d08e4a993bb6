import { fileURLToPath } from 'node:url'
import { outputOf, runProgram } from '../../helpers/programs.ts'
import type { BenchCase } from '../bench-case.ts'
import { timed } from '../bench-case.ts'
import { filledPodlib } from '../filled-store.ts'

const OPEN_ONCE = fileURLToPath(new URL('../open-once.mjs', import.meta.url))

export const benchCase: BenchCase = {
  name: 'open-1000',
  title: 'import, and opening a store with 1000 containers',
  unit: 'ms',
  goal: { atMost: 100 },
  rounds: 11,
  async prepare(environment) {
    await filledPodlib(environment, 1000)
    const options = JSON.stringify(environment.runtimeOptions({ name: 'filled-1000' }))
    return {
      podlib: { measure: async () => Number(await outputOf(process.execPath, [OPEN_ONCE, options])) },
      peer: { name: 'podman --version', ...timed(() => runProgram('podman', ['--version'])) },
    }
  },
}
