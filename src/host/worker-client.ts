import { type ChildProcess, spawn } from 'node:child_process'
import { fromWireError, PodlibError } from '../errors/errors.ts'
import { WORKER_PARENT } from './abandoned-workers.ts'
import type { RunJobOptions } from './host.ts'
import type { WorkerReply, WorkerRequest } from './worker-server.ts'

/** How a worker process is started: the program and arguments that lead to Node running the worker. */
export interface WorkerCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

interface PendingJob {
  readonly resolve: (output: unknown) => void
  readonly reject: (error: unknown) => void
  readonly onProgress: ((progress: never) => void) | undefined
  /** The worker has it and may have acted. */
  begun: boolean
}

const STDERR_TAIL = 4096

/** One worker process and the jobs it is at. Once {@link isAlive} is false it stays so. */
export class WorkerClient {
  readonly #child: ChildProcess
  readonly #pending = new Map<number, PendingJob>()
  readonly #exited: Promise<void>
  #nextId = 1
  #alive = true
  #stderr = ''

  constructor(command: WorkerCommand) {
    // A session of its own: a Ctrl-C in the application's terminal is the application's to handle.
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: { ...command.env, [WORKER_PARENT]: String(process.pid) },
      cwd: '/',
      detached: true,
    })
    this.#child = child
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_TAIL)
    })
    child.on('message', (reply: WorkerReply) => this.#receive(reply))
    // Whatever the worker said before it died has been heard by then.
    const heard = new Promise<void>((resolve) => child.once('disconnect', resolve))
    this.#exited = new Promise((resolve) => {
      const end = (why: string) => {
        this.#end(why)
        resolve()
      }
      child.once('error', (error) => end(error.message))
      // Not 'close': after a disconnect by us Node does not always tell of the end of standard error.
      child.once('exit', (code, signal) => {
        const finish = () => {
          child.stderr?.destroy()
          end(signal ? `killed by ${signal}` : `exit code ${code}`)
        }
        void heard.then(() => setImmediate(finish))
      })
    })
    this.#rest()
  }

  get isAlive(): boolean {
    return this.#alive
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Number of jobs sent and not yet answered. */
  get load(): number {
    return this.#pending.size
  }

  run(job: string, input: unknown, options: RunJobOptions<never> = {}): Promise<unknown> {
    const { signal, onProgress } = options
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (!this.#alive) return Promise.reject(this.#death('it had ended', false))
    const id = this.#nextId++
    const answer = new Promise<unknown>((resolve, reject) => this.#pending.set(id, { resolve, reject, onProgress, begun: false }))
    this.#work()
    this.#send({ id, job, input })
    if (signal === undefined) return answer
    const abort = () => this.#send({ id, abort: true })
    signal.addEventListener('abort', abort, { once: true })
    return answer
      .catch((error: unknown) => {
        throw signal.aborted ? signal.reason : error
      })
      .finally(() => signal.removeEventListener('abort', abort))
  }

  /** Closes the channel and waits for the process to end, which it does when its jobs have undone their work. */
  async close(): Promise<void> {
    if (!this.#alive) return
    this.#work()
    if (this.#child.connected) this.#child.disconnect()
    await this.#exited
  }

  #send(request: WorkerRequest): void {
    // A failing write means that the process is gone; `close` follows and rejects every pending job.
    if (this.#child.connected) this.#child.send(request, () => {})
  }

  #receive(reply: WorkerReply): void {
    if ('ready' in reply) return
    const job = this.#pending.get(reply.id)
    if (job === undefined) return
    if ('begun' in reply) {
      job.begun = true
      return
    }
    if ('progress' in reply) {
      job.onProgress?.(reply.progress as never)
      return
    }
    this.#pending.delete(reply.id)
    if (this.#pending.size === 0) this.#rest()
    if ('error' in reply) job.reject(fromWireError(reply.error))
    else job.resolve(reply.output)
  }

  #end(why: string): void {
    if (!this.#alive) return
    this.#alive = false
    for (const { reject, begun } of this.#pending.values()) reject(this.#death(why, begun))
    this.#pending.clear()
  }

  #death(why: string, begun: boolean): PodlibError {
    return new PodlibError('ERR_HOST_WORKER_DIED', `the host worker ended (${why}); a new one is started on the next call`, {
      details: { pid: this.#child.pid, stderr: this.#stderr, begun },
    })
  }

  /** While no job runs, nothing of the worker keeps the application's event loop alive. */
  #rest(): void {
    this.#child.unref()
    this.#child.channel?.unref()
    hold(this.#child.stderr, 'unref')
  }

  #work(): void {
    this.#child.ref()
    this.#child.channel?.ref()
    hold(this.#child.stderr, 'ref')
  }
}

/** A child's stream is a socket, which Node's types do not say. */
function hold(stream: unknown, how: 'ref' | 'unref'): void {
  ;(stream as { ref(): void; unref(): void } | null)?.[how]()
}
