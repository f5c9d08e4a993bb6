import { closeSync, openSync } from 'node:fs'
import { syncfsAsync } from '../../sys/libc.ts'

/** The kernel would keep that much, and far more, in memory until it is told to write; and most layers are not much larger. */
const INTERVAL_BYTES = 32 * 1024 * 1024

/**
 * Has the disk begin its work while the layer is still being unpacked, so that little is left to wait for when the image
 * is made durable. What it writes may still be refused: nothing depends on it.
 */
export class EarlySync {
  readonly #directory: string
  #next = INTERVAL_BYTES
  #running = false

  constructor(directory: string) {
    this.#directory = directory
  }

  /** `bytes` have been written so far. */
  reached(bytes: number): void {
    if (bytes < this.#next || this.#running) return
    this.#next = bytes + INTERVAL_BYTES
    this.#running = true
    const fd = openSync(this.#directory, 'r')
    // The one that counts comes later, and reports.
    void syncfsAsync(fd)
      .catch(() => {})
      .finally(() => {
        closeSync(fd)
        this.#running = false
      })
  }
}
