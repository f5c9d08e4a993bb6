import type { Container } from '../../../src/index.ts'
import type { BenchCase } from '../bench-case.ts'
import { containerSteps, type PeerContainer } from '../container-steps.ts'

export const benchCase: BenchCase = {
  name: 'create',
  title: 'creation of a container',
  unit: 'ms',
  goal: { timesFaster: 10 },
  rounds: 15,
  async prepare(environment) {
    const steps = await containerSteps(environment)
    let container: Container
    let peer: PeerContainer
    return {
      podlib: {
        async measure() {
          container = await steps.create()
          return undefined
        },
        after: () => container.remove(),
      },
      peer: {
        name: 'podman',
        async measure() {
          peer = await steps.createPeer()
          return undefined
        },
        after: () => peer.do('rm'),
      },
    }
  },
}
