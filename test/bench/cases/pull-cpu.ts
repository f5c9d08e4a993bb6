import type { BenchCase } from '../bench-case.ts'
import { cpuOf, pullContest } from '../pull-case.ts'

/** At most 0.4 times the CPU time of podman, the registry's included on both sides. */
export const benchCase: BenchCase = {
  name: 'pull-cpu',
  title: 'CPU time of a pull of one big gzip layer',
  unit: 's',
  goal: { timesFaster: 2.5 },
  rounds: 3,
  prepare: (environment) => pullContest(environment, 'one:gzip', cpuOf),
}
