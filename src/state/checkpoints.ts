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
/** The states of a checkpoint. Whoever finds it waiting may begin it, or give it up. */
export const WAITING = 0
export const BEGUN = 1
export const DONE = 2
const GIVEN_UP = 3

/** Some 4 to 8 MiB of log. */
const COMMITS = 200
/** A log that others have left longer than this is due at once. */
const LONG_LOG_BYTES = 8 * 2 ** 20

/**
 * Copies the write-ahead log into the database from time to time. SQLite would do it inside a commit, and the event loop of
 * the application would stand still until the disk has everything: 10 to 20 ms, and more on a slow disk. So a thread does
 * it, which lives as long as that takes. Where no thread can be had the log grows until SQLite helps itself.
 *
 * @see https://www.sqlite.org/wal.html#ckpt
 */
export class Checkpoints {
  readonly #path: string
  #commits: number
  #running: Int32Array | undefined

  constructor(path: string) {
    this.#path = path
    const log = statSync(`${path}-wal`, { throwIfNoEntry: false })
    this.#commits = (log?.size ?? 0) > LONG_LOG_BYTES ? COMMITS : 0
  }

  /** To be told of every commit. */
  committed(): void {
    if (++this.#commits < COMMITS || this.#running !== undefined) return
    this.#commits = 0
    this.#running = this.#start()
  }

  /** Afterwards nobody else has the database open in this process. Waits for the disk, as closing it does itself. */
  close(): void {
    const state = this.#running
    if (state === undefined || Atomics.compareExchange(state, STATE, WAITING, GIVEN_UP) === WAITING) return
    Atomics.wait(state, STATE, BEGUN)
  }

  #start(): Int32Array {
    const state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    const workerData: CheckpointTask = { path: this.#path, shared: state.buffer as SharedArrayBuffer }
    // Nothing of the application's: neither its flags nor its environment, nor a reason to keep it running.
    const thread = new Worker(ownFile('state/checkpoint-thread'), { workerData, execArgv: [], env: {} })
    thread.unref()
    thread.once('error', () => {})
    thread.once('exit', () => (this.#running = undefined))
    return state
  }
}
