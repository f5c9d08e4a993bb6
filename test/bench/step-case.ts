import type { Container } from '../../src/index.ts'
import type { BenchCase } from './bench-case.ts'
import { containerSteps, type PeerContainer } from './container-steps.ts'

/** One step in the life of a container, each side with a container of its own in every round. */
export interface StepCase {
  readonly name: string
  readonly title: string
  readonly timesFaster: number
  /** Brings a new container to where the step begins. */
  readonly arrange: Step
  readonly measure: Step
}

export interface Step {
  podlib(container: Container): Promise<unknown>
  peer(container: PeerContainer): Promise<unknown>
}

export function stepCase({ name, title, timesFaster, arrange, measure }: StepCase): BenchCase {
  return {
    name,
    title,
    unit: 'ms',
    goal: { timesFaster },
    rounds: 11,
    inSeries: true,
    async prepare(environment) {
      const steps = await containerSteps(environment)
      const podlib = contestant(
        () => steps.create(),
        arrange.podlib,
        measure.podlib,
        (container) => container.remove({ force: true }),
      )
      const peer = contestant(
        () => steps.createPeer(),
        arrange.peer,
        measure.peer,
        (container) => container.do('rm', '--force', '--ignore', '--time', '0'),
      )
      return { podlib, peer: { name: 'podman', ...peer } }
    },
  }
}

function contestant<Kind>(
  create: () => Promise<Kind>,
  arrange: (container: Kind) => Promise<unknown>,
  measure: (container: Kind) => Promise<unknown>,
  remove: (container: Kind) => Promise<unknown>,
) {
  let container: Kind
  return {
    async before() {
      container = await create()
      await arrange(container)
    },
    async measure() {
      await measure(container)
      return undefined
    },
    async after() {
      // The measured step may have been the removal.
      await remove(container).catch(() => {})
    },
  }
}
