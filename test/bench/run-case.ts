import { type BenchCase, timed } from './bench-case.ts'
import type { OciRuntimeName } from './environment.ts'

/** `run --rm IMAGE true` without a network, with a monitor and a log, beside podman with the same OCI runtime. */
export function runCase(ociRuntime: OciRuntimeName, timesFaster: number): BenchCase {
  return {
    name: `run-none-${ociRuntime}`,
    title: `one-shot container with conmon and ${ociRuntime}, no network`,
    unit: 'ms',
    goal: { timesFaster },
    rounds: 15,
    inSeries: true,
    async prepare(environment) {
      const podlib = await environment.podlib(ociRuntime)
      const podman = await environment.podman(ociRuntime)
      return {
        podlib: timed(() => podlib.side.run(podlib.image, ['true'], { monitor: true })),
        peer: { name: 'podman', ...timed(() => podman.side.run('run', '--rm', '--network', 'none', podman.image, 'true')) },
      }
    },
  }
}
