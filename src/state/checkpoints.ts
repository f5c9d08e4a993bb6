import { statSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { ownFile } from '../util/own-file.ts'

/** What the thread is given. */
export interface CheckpointTask {
  /** Of the database. */
  readonly path: string
  /** One number, at {@link STATE}. */
  readonly shared: SharedArrayBuffer
}

export const STATE = 0
/** The states of the latest checkpoint. Whoever finds it waiting may begin it, or give it up. */
export const DONE = 0
export const WAITING = 1
export const BEGUN = 2
const GIVEN_UP = 3

/** Some 4 to 8 MiB of log. */
const COMMITS = 200
/** A log that others have left longer than this is due at once. */
const LONG_LOG_BYTES = 8 * 2 ** 20
/** An idle thread is worth its memory for this long: to start one takes the event loop some milliseconds. */
const IDLE_MS = 10_000

/**
 * Copies the write-ahead log into the database from time to time. SQLite would do it inside a commit, and the event loop of
 * the application would stand still until the disk has everything: 10 to 20 ms, and more on a slow disk. So a thread does
 * it, which ends when there has been nothing to do for a while. Where no thread can be had the log grows until SQLite helps
 * itself.
 *
 * @see https://www.sqlite.org/wal.html#ckpt
 */
export class Checkpoints {
  readonly #path: string
  readonly #failed: (error: Error) => void
  readonly #state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  #commits: number
  #thread: Worker | undefined
  #due: NodeJS.Immediate | undefined
  #idle: NodeJS.Timeout | undefined

  /** @param failed - called when one fails: nobody else is told what the disk has said to it */
  constructor(path: string, failed: (error: Error) => void) {
    this.#path = path
    this.#failed = failed
    const log = statSync(`${path}-wal`, { throwIfNoEntry: false })
    this.#commits = (log?.size ?? 0) > LONG_LOG_BYTES ? COMMITS : 0
  }

  /** To be told of every commit. */
  committed(): void {
    if (++this.#commits < COMMITS || Atomics.load(this.#state, STATE) !== DONE) return
    this.#commits = 0
    Atomics.store(this.#state, STATE, WAITING)
    // In a turn of its own: whoever commits goes on with something.
    this.#due = setImmediate(() => this.#begin())
  }

  /** Afterwards nobody else has the database open in this process. Waits for the disk, as closing it does itself. */
  close(): void {
    clearImmediate(this.#due)
    this.#end()
    if (Atomics.compareExchange(this.#state, STATE, WAITING, GIVEN_UP) !== WAITING) Atomics.wait(this.#state, STATE, BEGUN)
  }

  #begin(): void {
    this.#thread ??= this.#start()
    this.#thread.postMessage(undefined)
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref()
  }

  #start(): Worker {
    const workerData: CheckpointTask = { path: this.#path, shared: this.#state.buffer as SharedArrayBuffer }
    // Nothing of the application's: neither its flags nor its environment, nor a reason to keep it running.
    const thread = new Worker(ownFile('state/checkpoint-thread'), { workerData, execArgv: [], env: {} })
    thread.unref()
    thread.once('error', this.#failed)
    thread.once('exit', () => this.#ended(thread))
    return thread
  }

  /** It ends behind what it is at. */
  #end(): void {
    clearTimeout(this.#idle)
    this.#thread?.postMessage('end')
    this.#thread = undefined
  }

  #ended(thread: Worker): void {
    if (this.#thread === thread) this.#thread = undefined
    // If it has failed, what it left undone is for the next one.
    if (this.#thread === undefined) Atomics.store(this.#state, STATE, DONE)
  }
}
