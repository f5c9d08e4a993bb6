// Opens a store, does what it is told, and says line by line what has returned.
//
//   node runtime-child.ts TASK STORE [CRASH]
//
// STORE is the JSON of `Runtime.open`'s options and, as `task`, what the task needs. With CRASH (the name of a step, and `:N` for its N-th time) the
// program and its workers are killed at that step; with `alone ` before it only the program, whose workers live on for a moment. The step `returned` is
// when the task is done.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container, Runtime, RuntimeOptions } from '../../src/index.ts'

interface TaskInput {
  readonly image: string
  readonly name: string
  readonly command: readonly string[]
  readonly count: number
}

type Task = (runtime: Runtime, input: TaskInput) => Promise<unknown>

const say = (value: unknown) => process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value)}\n`)
const [task = '', store = '{}', crash] = process.argv.slice(2)
const { task: input, ...options } = JSON.parse(store) as RuntimeOptions & { task: TaskInput }

const failureOf = (error: unknown) => ({ code: (error as { code?: unknown }).code, message: (error as Error).message })

/** Kills this process, its workers first: nothing of it undoes anything. */
function die(): void {
  killWorkers()
  dieAlone()
}

function dieAlone(): void {
  process.kill(process.pid, 'SIGKILL')
  // Not one instruction more.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

function killWorkers(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const [, parent] = /\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? []
      if (Number(parent) === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('podlib-worker'))
        process.kill(Number(pid), 'SIGKILL')
    } catch {
      // Gone meanwhile.
    }
  }
}

function crashAt(text: string): void {
  const [, alone, name, times = '1'] = /^(alone )?(.+?)(?::(\d+))?$/.exec(text) ?? []
  let left = Number(times)
  const listener = (step: string) => {
    if (step === name && --left === 0) (alone ? dieAlone : die)()
  }
  Object.defineProperty(globalThis, Symbol.for('podlib.crash-point'), { value: listener })
}

const find = (runtime: Runtime, { name }: TaskInput): Promise<Container> => runtime.containers.get(name)

const TASKS: Readonly<Record<string, Task>> = {
  pull: async (runtime, { image }) => (await runtime.images.pull(image)).id,
  pullDurably: async (runtime, { image }) => (await runtime.images.pull(image, { durable: true })).id,
  create: async (runtime, { image, name, command }) => (await runtime.containers.create({ image, name, command })).id,
  start: async (runtime, target) => (await find(runtime, target)).start(),
  stop: async (runtime, target) => (await find(runtime, target)).stop({ timeoutMs: 200 }),
  pause: async (runtime, target) => (await find(runtime, target)).pause(),
  resume: async (runtime, target) => (await find(runtime, target)).resume(),
  remove: async (runtime, target) => (await find(runtime, target)).remove(),
  wait: async (runtime, target) => (await find(runtime, target)).wait(),
  removeImage: async (runtime, { image }) => runtime.images.remove(image),
  mountImage: async (runtime, { image }) => (await runtime.images.mount(image)).path,
  run: (runtime, { image, command }) => runtime.run(image, command),
  monitoredRun: (runtime, { image, command }) => runtime.run(image, command, { monitor: true }),
  startAnew: async (runtime, { image, name, command }) => (await runtime.containers.run({ image, name, command })).id,
  startEphemeral: async (runtime, { image, name, command }) => (await runtime.containers.run({ image, name, command, ephemeral: true })).id,
  /** Says that a container runs, which ends soon, and returns what the event of its failed clean-up tells. */
  async hearOfCleanup(runtime, { image, name }) {
    const events = runtime.events({ follow: true })
    await runtime.containers.run({ image, name, command: ['sleep', '0.5'] })
    say('runs')
    // Events keep no program alive.
    const life = setInterval(() => {}, 1000)
    for await (const event of events) {
      if (event.action !== 'cleanup-error') continue
      clearInterval(life)
      return event.attributes.error
    }
    return undefined
  },
  async createAndRemove(runtime, { image, name, count }) {
    for (let i = 0; i < count; i++) {
      const container = await runtime.containers.create({ image, name: `${name}-${i}`, command: ['true'] })
      await container.remove()
    }
  },
  async leaveEarly(runtime, { image }) {
    const container = await runtime.containers.run({
      image,
      command: ['sh', '-c', 'while true; do echo tick; sleep 0.05; done'],
      name: 'runs-on',
    })
    for await (const { text } of container.logs({ follow: true })) if (text === 'tick') break
    await runtime.run(image, ['true'])
    const process = await container.spawn(['sleep', '1000'])
    process.wait().catch(() => {})
    container.wait().catch(() => {})
  },
  /** Dies with a process in a container, and its workers with it. */
  async spawnAndDie(runtime, target) {
    const process = await (await find(runtime, target)).spawn(['sh', '-c', 'echo begun; sleep 4444 & sleep 4444'])
    await new Promise((resolve) => process.stdout?.once('data', resolve))
    die()
  },
  async runAndDie(runtime, { image }) {
    void runtime.run(image, ['sh', '-c', 'sleep 5555 & sleep 5555'], { name: 'one-shot' }).catch(() => {})
    while ((await runtime.containers.find('one-shot')) === undefined) await sleep(10)
    await sleep(500)
    die()
  },
  /** Never ends by itself. */
  async idle() {
    say('idle')
    await new Promise(() => setInterval(() => {}, 1000))
  },
}

if (crash) crashAt(crash)
const { crashPoint } = await import('../../src/util/crash-point.ts')
const { Runtime: Opened } = await import('../../src/index.ts')
const perform = TASKS[task]
if (perform === undefined) throw new Error(`no such task: ${task}`)
try {
  const runtime = await Opened.open(options)
  say('open')
  const result = await perform(runtime, input)
  say({ result: result ?? null })
  crashPoint('returned')
  await runtime.close()
  say(`closed ${Math.round(performance.now())}`)
} catch (error) {
  say({ error: failureOf(error) })
  await sleep(0)
  process.exitCode = 1
}
