import { type BenchCase, timed } from '../bench-case.ts'

/** Without a monitor: the container is a part of the program, as a sandboxed `child_process`. */
export const benchCase: BenchCase = {
  name: 'run-attached',
  title: 'one-shot container attached to the program, no monitor, no log',
  unit: 'ms',
  goal: { timesFaster: 7 },
  rounds: 15,
  inSeries: true,
  async prepare(environment) {
    const podlib = await environment.podlib()
    const podman = await environment.podman()
    return {
      podlib: timed(() => podlib.side.run(podlib.image, ['true'])),
      peer: { name: 'podman', ...timed(() => podman.side.run('run', '--rm', '--network', 'none', podman.image, 'true')) },
    }
  },
}
