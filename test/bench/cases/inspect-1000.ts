import { type BenchCase, timed } from '../bench-case.ts'
import { filledPodlib, filledPodman } from '../filled-store.ts'

const CALLS = 20

/** One alone is too short for the clock: the mean of several, each of another container. */
async function meanOf(inspect: (index: number) => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  for (let index = 0; index < CALLS; index++) await inspect(700 + index)
  return (performance.now() - begin) / CALLS
}

export const benchCase: BenchCase = {
  name: 'inspect-1000',
  title: 'one of 1000 containers found by name and inspected',
  unit: 'ms',
  goal: { atMost: 0.5 },
  rounds: 15,
  async prepare(environment) {
    const runtime = await filledPodlib(environment, 1000)
    const podman = await filledPodman(environment, 1000)
    return {
      podlib: { measure: () => meanOf((index) => runtime.containers.get(`c${index}`).then((container) => container.inspect())) },
      peer: { name: 'podman inspect', ...timed(() => podman.output('inspect', 'c700')) },
    }
  },
}
