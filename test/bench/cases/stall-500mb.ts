import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Ballast } from '../ballast.ts'
import type { BenchCase } from '../bench-case.ts'

const RUNS = 100
/** As many as this machine can run: more would measure how long the program waits for a processor. */
const AT_ONCE = Math.max(1, Math.floor(availableParallelism() / 2))

/** The longest time that the event loop stands still while `RUNS` pieces of work go on. */
async function longestStall(work: () => Promise<unknown>): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  await sleep(20)
  delays.reset()
  let left = RUNS
  const worker = async () => {
    while (left-- > 0) await work()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  delays.disable()
  return delays.max / 1e6
}

export const benchCase: BenchCase = {
  name: 'stall-500mb',
  title: `longest stall of the event loop while ${RUNS} containers run, in a program of 500 MB`,
  unit: 'ms',
  goal: { atMost: 10 },
  rounds: 3,
  async prepare(environment) {
    const podlib = await environment.podlib()
    const ballast = new Ballast()
    ballast.take(500)
    return {
      podlib: { measure: () => longestStall(() => podlib.side.run(podlib.image, ['true'])) },
      peer: { name: 'child_process', measure: () => longestStall(() => once(spawn('true', { stdio: 'ignore' }), 'exit')) },
      async [Symbol.asyncDispose]() {
        ballast.drop()
      },
    }
  },
}
