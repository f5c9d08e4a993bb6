import { type BenchCase, timed } from '../bench-case.ts'
import { filledPodlib, filledPodman } from '../filled-store.ts'

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
      podlib: timed(async () => (await runtime.containers.get('c700')).inspect()),
      peer: { name: 'podman inspect', ...timed(() => podman.output('inspect', 'c700')) },
    }
  },
}
