import { join } from 'node:path'
import { runProgram } from '../../helpers/programs.ts'
import { type BenchCase, timed } from '../bench-case.ts'
import { containerSteps } from '../container-steps.ts'

/** Beside podman, and beside the OCI runtime alone in the same container of podlib: at most 1.3 times its time is the aim. */
export const benchCase: BenchCase = {
  name: 'exec',
  title: 'a command in a running container',
  unit: 'ms',
  goal: { timesFaster: 5 },
  rounds: 15,
  inSeries: true,
  async prepare(environment) {
    const steps = await containerSteps(environment)
    const [container, peer] = [await steps.create(), await steps.createPeer()]
    await container.start()
    await peer.do('start')
    const state = join(environment.directory, 'podlib-crun/run/oci/crun')
    return {
      podlib: timed(() => container.exec(['true'])),
      peer: { name: 'podman', ...timed(() => peer.output('exec', 'true')) },
      others: [{ name: 'crun exec', ...timed(() => runProgram('crun', ['--root', state, 'exec', container.id, 'true'])) }],
      async [Symbol.asyncDispose]() {
        await container.remove({ force: true })
        await peer.do('rm', '--force', '--time', '0')
      },
    }
  },
}
