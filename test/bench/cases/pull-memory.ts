import type { BenchCase } from '../bench-case.ts'
import { memoryContest } from '../pull-memory.ts'

export const benchCase: BenchCase = {
  name: 'pull-memory',
  title: 'most memory of all processes while one layer of 800 MB is pulled',
  unit: 'MB',
  goal: { atMost: 200 },
  rounds: 2,
  prepare: (environment) => memoryContest(environment, 'one:gzip'),
}
