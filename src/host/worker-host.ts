import { availableParallelism } from 'node:os'
import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Host, HostFacts, JobInput, JobName, JobOutput, JobProgress, RunJobOptions } from './host.ts'
import { WorkerClient, type WorkerCommand } from './worker-client.ts'

/** Jobs that keep a processor busy for long, or a thread waiting: each gets a worker of the pool to itself. */
const POOL_JOBS: ReadonlySet<JobName> = new Set<JobName>([
  'unpack-context',
  'unpack-layer',
  'seal-layers',
  'layer-tar',
  'split-tar',
  'tree-tar',
  'tree-usage',
  'diff-layers',
])
const MAX_POOL = 4
/** An idle pool worker is worth its 50 MB for this long. */
const POOL_IDLE_MS = 5_000

export interface WorkerHostOptions {
  readonly facts: HostFacts
  /** Asked once before each worker start. */
  readonly command: () => Promise<WorkerCommand>
  /** See {@link Host.visible}. @defaultValue the workers mount where this process sees it */
  readonly visible?: (path: string) => string
  /** Long jobs at a time. @defaultValue one a processor, four at most */
  readonly poolSize?: number
}

/** The {@link Host} that runs jobs in worker processes. */
export function createWorkerHost({ facts, command, visible = (path) => path, poolSize }: WorkerHostOptions): Host {
  let worker: WorkerClient | undefined
  let starting: Promise<WorkerClient> | undefined
  let closed = false
  const newWorker = async (): Promise<WorkerClient> => {
    const how = await command()
    // Only now: whoever waited for its turn, or is tried once more, may have waited until after the close.
    if (closed) throw new PodlibError('ERR_RUNTIME_CLOSED', 'cannot start a host worker: the runtime is closed')
    return new WorkerClient(how)
  }
  const pool = new WorkerPool(poolSize ?? Math.min(availableParallelism(), MAX_POOL), newWorker)

  async function start(): Promise<WorkerClient> {
    try {
      worker = await newWorker()
      return worker
    } finally {
      starting = undefined
    }
  }

  async function mainWorker(): Promise<WorkerClient> {
    if (worker?.isAlive) return worker
    starting ??= start()
    return starting
  }

  async function run(name: JobName, input: unknown, options?: RunJobOptions<never>): Promise<unknown> {
    if (closed) throw new PodlibError('ERR_RUNTIME_CLOSED', `cannot run ${name}: the runtime is closed`)
    return onceMoreIfNotBegun(async () => {
      if (POOL_JOBS.has(name)) return pool.run(name, input, options)
      return (await mainWorker()).run(name, input, options)
    })
  }

  return {
    facts,
    visible,
    run: <Name extends JobName>(name: Name, input: JobInput<Name>, options?: RunJobOptions<JobProgress<Name>>) =>
      run(name, input, options as RunJobOptions<never> | undefined) as Promise<JobOutput<Name>>,
    async close() {
      closed = true
      await starting?.catch(() => undefined)
      await Promise.all([worker?.close(), pool.close()])
    },
  }
}

/** A worker can be killed between two jobs: what it never began is given to its successor. */
async function onceMoreIfNotBegun<Output>(attempt: () => Promise<Output>): Promise<Output> {
  try {
    return await attempt()
  } catch (error) {
    if (!isPodlibError(error, 'ERR_HOST_WORKER_DIED') || error.details.begun !== false) throw error
    return attempt()
  }
}

class WorkerPool {
  readonly #size: number
  readonly #newWorker: () => Promise<WorkerClient>
  readonly #idle: WorkerClient[] = []
  readonly #waiting: (() => void)[] = []
  readonly #all = new Set<WorkerClient>()
  /** Jobs that have their turn; those that need none are not among them. */
  #running = 0
  #reaper: NodeJS.Timeout | undefined

  constructor(size: number, newWorker: () => Promise<WorkerClient>) {
    this.#size = size
    this.#newWorker = newWorker
  }

  async run(job: string, input: unknown, options: RunJobOptions<never> = {}): Promise<unknown> {
    options.signal?.throwIfAborted()
    if (options.unqueued) return this.#onWorker(job, input, options)
    if (this.#running < this.#size) this.#running++
    else await this.#turn(options.signal)
    try {
      return await this.#onWorker(job, input, options)
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#reaper)
    await Promise.all([...this.#all].map((worker) => worker.close()))
  }

  /** Waits until somebody passes on a turn. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiting.push(take)
    })
  }

  async #onWorker(job: string, input: unknown, options: RunJobOptions<never>): Promise<unknown> {
    const idle = this.#idle.pop()
    const worker = idle?.isAlive ? idle : await this.#newWorker()
    this.#all.add(worker)
    try {
      return await worker.run(job, input, options)
    } finally {
      if (worker.isAlive) this.#rest(worker)
      else this.#all.delete(worker)
    }
  }

  #rest(worker: WorkerClient): void {
    this.#idle.push(worker)
    clearTimeout(this.#reaper)
    this.#reaper = setTimeout(() => this.#reap(), POOL_IDLE_MS)
    this.#reaper.unref()
  }

  #reap(): void {
    for (const worker of this.#idle.splice(0)) {
      this.#all.delete(worker)
      void worker.close()
    }
  }
}
