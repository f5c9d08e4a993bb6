import { randomBytes } from 'node:crypto'
import type { Container } from '../../src/index.ts'
import type { Podman } from '../helpers/podman.ts'
import type { BenchEnvironment } from './environment.ts'

/** A container of each side that sleeps, in the state that the step to be measured begins with. */
export interface Steps {
  create(): Promise<Container>
  createPeer(): Promise<PeerContainer>
}

/** A container of podman. */
export interface PeerContainer {
  readonly name: string
  /** `podman VERB [FLAG...] NAME` */
  do(verb: string, ...flags: string[]): Promise<void>
  output(verb: string, ...command: string[]): Promise<string>
}

const SLEEP = ['sleep', '1000']

export async function containerSteps(environment: BenchEnvironment): Promise<Steps> {
  const podlib = await environment.podlib()
  const podman = await environment.podman()
  return {
    create: () => podlib.side.containers.create({ image: podlib.image, command: SLEEP }),
    async createPeer() {
      const container = peerContainer(podman.side)
      await podman.side.run('create', '--name', container.name, '--network', 'none', podman.image, ...SLEEP)
      return container
    },
  }
}

function peerContainer(podman: Podman): PeerContainer {
  const name = `bench-${randomBytes(6).toString('hex')}`
  return {
    name,
    do: (verb, ...flags) => podman.run(verb, ...flags, name),
    output: (verb, ...command) => podman.output(verb, name, ...command),
  }
}
