import { Ballast } from '../ballast.ts'
import type { BenchCase } from '../bench-case.ts'
import { median } from '../measure.ts'

const RUNS = 10
const MEGABYTES = 800

async function medianOfRuns(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let run = 0; run < RUNS; run++) {
    const begin = performance.now()
    await work()
    times.push(performance.now() - begin)
  }
  return median(times)
}

export const benchCase: BenchCase = {
  name: 'run-800mb',
  title: `time of a one-shot container in a program of ${MEGABYTES} MB, in times of that in a small program`,
  unit: 'times',
  goal: { atMost: 1.15 },
  rounds: 5,
  async prepare(environment) {
    const { side, image } = await environment.podlib()
    const ballast = new Ballast()
    const run = () => side.run(image, ['true'])
    return {
      podlib: {
        async measure() {
          const small = await medianOfRuns(run)
          ballast.take(MEGABYTES)
          const big = await medianOfRuns(run)
          ballast.drop()
          return big / small
        },
      },
    }
  },
}
