/** @see FairLock.acquire */
export interface FairLockOptions {
  /** Share the lock with other shared holders. Default: exclusive. */
  readonly shared?: boolean
  readonly signal?: AbortSignal | undefined
}

interface Waiter {
  readonly shared: boolean
  readonly grant: () => void
}

/**
 * A shared/exclusive lock between the async chains of one process. Strictly first come, first served: a shared taker
 * behind an exclusive waiter waits too, so that nobody starves.
 */
export class FairLock {
  #holders = 0
  #exclusive = false
  readonly #queue: Waiter[] = []

  /** Nobody holds or waits. */
  get idle(): boolean {
    return this.#holders === 0 && this.#queue.length === 0
  }

  /** @returns the function that gives the lock back; calling it twice does nothing. */
  acquire({ shared = false, signal }: FairLockOptions = {}): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const waiter: Waiter = {
        shared,
        grant: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve(this.#hold(shared))
        },
      }
      const onAbort = () => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1)
        reject(signal?.reason)
        this.#grantNext()
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#queue.push(waiter)
      this.#grantNext()
    })
  }

  #hold(shared: boolean): () => void {
    this.#holders++
    this.#exclusive = !shared
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holders--
      this.#grantNext()
    }
  }

  #grantNext(): void {
    while (this.#queue[0] && (this.#holders === 0 || (this.#queue[0].shared && !this.#exclusive))) this.#queue.shift()?.grant()
  }
}
