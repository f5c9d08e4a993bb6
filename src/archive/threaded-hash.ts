import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ownFile } from '../util/own-file.ts'
import { isPooled } from './release-chunk.ts'

/** What the thread is given at its start. */
export interface HashTask {
  readonly algorithm: string
  /** One number: how many pieces have been sent and not yet hashed. */
  readonly waiting: SharedArrayBuffer
}

/** What the thread is sent: a buffer, which is its own from then on, and the part of it that counts; or that nothing more comes. */
export type HashPiece = { readonly buffer: ArrayBuffer; readonly start: number; readonly end: number } | 'end'

/** Pieces that may wait, each with up to 1 MiB of memory. */
const MAX_WAITING = 4

/**
 * A hash that is computed by another thread while this one goes on. Where unpacking keeps one thread busy, hashing on it
 * costs a fifth more time. Nothing is copied: the memory itself goes to the thread.
 */
export class ThreadedHash {
  readonly #thread: Worker
  readonly #waiting = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  readonly #digest: Promise<string>
  /** The part so far of a buffer of which more is to come. */
  #open: { readonly buffer: ArrayBuffer; readonly start: number; end: number } | undefined

  constructor(algorithm: string) {
    const workerData: HashTask = { algorithm, waiting: this.#waiting.buffer as SharedArrayBuffer }
    this.#thread = new Worker(ownFile('archive/hash-thread'), { workerData })
    this.#digest = once(this.#thread, 'message').then(([digest]) => digest as string)
    this.#digest.catch(() => {})
  }

  /**
   * Takes a chunk away: it is empty from now on, or when the last chunk of the same buffer has come. Chunks that share a
   * buffer must come one after the other. Waits when the thread is far behind.
   */
  take(chunk: Buffer): void {
    if (chunk.length === 0) return
    const { buffer, byteOffset: start, length } = isPooled(chunk) ? Buffer.from(new Uint8Array(chunk).buffer) : chunk
    if (this.#open?.buffer !== buffer) this.#sendOpen()
    if (this.#open === undefined) this.#open = { buffer: buffer as ArrayBuffer, start, end: start + length }
    else this.#open.end = start + length
    if (this.#open.end === buffer.byteLength) this.#sendOpen()
  }

  /** Ends it. */
  digest(_encoding: 'hex'): Promise<string> {
    this.#sendOpen()
    this.#send('end')
    return this.#digest
  }

  /** Ends the thread, whatever it is at. To be called in any case. */
  async close(): Promise<void> {
    await this.#thread.terminate()
  }

  #sendOpen(): void {
    const piece = this.#open
    if (piece === undefined) return
    this.#open = undefined
    Atomics.add(this.#waiting, 0, 1)
    this.#send(piece)
    for (let count = Atomics.load(this.#waiting, 0); count > MAX_WAITING; count = Atomics.load(this.#waiting, 0))
      Atomics.wait(this.#waiting, 0, count)
  }

  #send(piece: HashPiece): void {
    this.#thread.postMessage(piece, piece === 'end' ? [] : [piece.buffer])
  }
}
