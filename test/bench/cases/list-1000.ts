import { type BenchCase, timed } from '../bench-case.ts'
import { filledPodlib, filledPodman } from '../filled-store.ts'

export const benchCase: BenchCase = {
  name: 'list-1000',
  title: 'list of 1000 containers',
  unit: 'ms',
  goal: { atMost: 5 },
  rounds: 11,
  async prepare(environment) {
    const runtime = await filledPodlib(environment, 1000)
    const podman = await filledPodman(environment, 1000)
    return {
      podlib: timed(() => runtime.containers.list()),
      peer: { name: 'podman ps -a', ...timed(() => podman.output('ps', '--all', '--format', 'json')) },
    }
  },
}
