import type { Runtime } from '../../src/index.ts'
import type { Podman } from '../helpers/podman.ts'
import type { BenchEnvironment } from './environment.ts'

const AT_ONCE = 4

/** A podlib of its own with `count` created containers, none running. */
export function filledPodlib(environment: BenchEnvironment, count: number): Promise<Runtime> {
  return environment.once(`podlib with ${count}`, async () => {
    const { image, host } = await environment.smallImage()
    const runtime = await environment.openRuntime({ name: `filled-${count}`, host })
    await runtime.images.pull(image)
    await repeat(count, (index) =>
      runtime.containers.create({ image, name: `c${index}`, command: ['sleep', '1000'], labels: { index: String(index) } }),
    )
    return runtime
  })
}

/** podman with the same. It takes its time to create them. */
export function filledPodman(environment: BenchEnvironment, count: number): Promise<Podman> {
  return environment.once(`podman with ${count}`, async () => {
    const { side, image } = await environment.newPodman()
    environment.say(`creating ${count} containers with podman`)
    await repeat(count, (index) =>
      side.run('create', '--name', `c${index}`, '--network', 'none', '--label', `index=${index}`, image, 'sleep', '1000'),
    )
    return side
  })
}

async function repeat(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
