import { backMemory } from './backed-memory.ts'
import type { BenchCase, Contest, Contestant } from './bench-case.ts'
import type { BenchEnvironment } from './environment.ts'
import type { FreshFilesystem } from './fresh-filesystem.ts'
import { machineCpuMs } from './measure.ts'

export type PullImage = 'one' | 'multi'
export type PullCompression = 'gzip' | 'zstd'

/** A pull of a big image from a registry on this machine into an empty store on a fresh ext4. */
export function pullCase(image: PullImage, compression: PullCompression, timesFaster: number): BenchCase {
  const layers = image === 'one' ? 'one layer' : 'nine layers'
  return {
    name: `pull-${image}-${compression}`,
    title: `pull of more than 20,000 files in ${layers}, ${compression}`,
    unit: 's',
    goal: { timesFaster },
    rounds: 3,
    prepare: (environment) => pullContest(environment, `${image}:${compression}`, timeOf),
  }
}

/** What to take of a pull: `undefined` leaves the time to the harness. */
export type TakeFigure = (pull: () => Promise<void>) => Promise<number | undefined>

const timeOf: TakeFigure = async (pull) => {
  await pull()
  return undefined
}

/** CPU time of the same instead of the time on the clock, of everything that takes part: the registry too. */
export const cpuOf: TakeFigure = async (pull) => {
  const before = machineCpuMs()
  await pull()
  return (machineCpuMs() - before) / 1000
}

/** Both sides pull `name`; `take` says what is taken of it. */
export async function pullContest(environment: BenchEnvironment, name: string, take: TakeFigure): Promise<Contest> {
  const { registry } = await environment.bigImages()
  const reference = `${registry.host}/${name}`
  const podlib = onFreshFilesystem(environment, take, async (path) => {
    const runtime = await environment.openRuntime({ name: 'podlib', host: registry.host, parent: path })
    return { pull: async () => void (await runtime.images.pull(reference)), close: () => runtime.close() }
  })
  const podman = onFreshFilesystem(environment, take, async (path) => {
    const side = await environment.openPodman('crun', path)
    return { pull: () => side.run('pull', '--quiet', '--tls-verify=false', reference), close: () => side[Symbol.asyncDispose]() }
  })
  return { podlib, peer: { name: 'podman', ...podman } }
}

interface Puller {
  pull(): Promise<void>
  close(): PromiseLike<void>
}

function onFreshFilesystem(environment: BenchEnvironment, take: TakeFigure, open: (path: string) => Promise<Puller>): Contestant {
  let filesystem: FreshFilesystem
  let puller: Puller
  return {
    async before() {
      filesystem = await environment.freshFilesystem()
      puller = await open(filesystem.path)
      await backMemory()
    },
    measure: () => take(() => puller.pull()),
    async after() {
      await puller.close()
      await filesystem[Symbol.asyncDispose]()
    },
  }
}
