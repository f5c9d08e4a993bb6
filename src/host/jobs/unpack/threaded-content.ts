import { on } from 'node:events'
import { Worker } from 'node:worker_threads'
import { fromWireError, toWireError, type WireError } from '../../../errors/errors.ts'
import { ownFile } from '../../../util/own-file.ts'
import type { LayerContent, LayerContentInput, ProvenContent } from './layer-content.ts'
import { isDamage } from './wrong-or-damaged.ts'

/** What the thread is given at its start. */
export interface ContentTask {
  readonly input: LayerContentInput
  /** Two numbers, at {@link WAITING} and {@link STOPPED}. */
  readonly shared: SharedArrayBuffer
}

/** How many chunks have been sent and not yet been used. */
export const WAITING = 0
/** Not 0: no further chunk is wanted. */
export const STOPPED = 1

/** From the thread: a chunk, whose buffer is the receiver's from then on; the end; a failure; the answer to what the receiver says of a damage. */
export type ContentMessage =
  | { readonly buffer: ArrayBuffer; readonly start: number; readonly length: number; readonly bytes: number }
  | { readonly proven: ProvenContent }
  | { readonly failed: WireError }
  | { readonly blamed: WireError }

/**
 * Reads a layer's content in a thread of its own, which goes on while this one creates files: reading, hashing and inflating
 * take as long as creating does. Nothing is copied: the memory itself comes over.
 */
export class ThreadedContent implements LayerContent {
  bytes = 0
  readonly #thread: Worker
  readonly #shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
  readonly #messages: AsyncIterator<[ContentMessage]>
  #proven: ProvenContent | undefined
  #failed = false

  constructor(input: LayerContentInput, signal: AbortSignal) {
    const workerData: ContentTask = { input, shared: this.#shared.buffer as SharedArrayBuffer }
    this.#thread = new Worker(ownFile('host/jobs/unpack/content-thread'), { workerData })
    this.#messages = on(this.#thread, 'message', { signal, close: ['exit'] }) as AsyncIterator<[ContentMessage]>
  }

  async *chunks(): AsyncGenerator<Buffer> {
    for (;;) {
      const message = await this.#next()
      if ('proven' in message) {
        this.#proven = message.proven
        return
      }
      if (!('buffer' in message)) continue
      const { buffer, start, length, bytes } = message
      this.bytes = bytes
      yield Buffer.from(buffer, start, length)
      // Given back at once: the garbage collector would let them pile up.
      buffer.transfer(0)
      Atomics.sub(this.#shared, WAITING, 1)
      Atomics.notify(this.#shared, WAITING)
    }
  }

  async prove(): Promise<ProvenContent> {
    return this.#proven as ProvenContent
  }

  async blame(damage: unknown): Promise<unknown> {
    // What the thread has found it has looked into already.
    if (this.#failed || !isDamage(damage)) return damage
    Atomics.store(this.#shared, STOPPED, 1)
    Atomics.store(this.#shared, WAITING, 0)
    Atomics.notify(this.#shared, WAITING)
    this.#thread.postMessage(toWireError(damage))
    for (;;) {
      const message = await this.#next()
      if ('blamed' in message) return fromWireError(message.blamed)
    }
  }

  async close(): Promise<void> {
    await this.#thread.terminate()
  }

  async #next(): Promise<ContentMessage> {
    const { done, value } = await this.#messages.next()
    if (done) throw new Error('the thread that reads the layer has ended')
    const [message] = value
    if (!('failed' in message)) return message
    this.#failed = true
    throw fromWireError(message.failed)
  }
}
