import { syncFilesystem } from '../sync-filesystem.ts'

/** The kernel would keep that much, and far more, in memory until it is told to write; and most layers are not much larger. */
const INTERVAL_BYTES = 32 * 1024 * 1024

/**
 * Has the disk begin its work while the layer is still being unpacked, so that little is left to wait for when the image
 * is made durable. What the disk refuses shows here, and nowhere else.
 */
export class EarlySync {
  readonly #directory: string
  #next = INTERVAL_BYTES
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(directory: string) {
    this.#directory = directory
  }

  /** `bytes` have been written so far. */
  reached(bytes: number): void {
    if (bytes < this.#next || this.#running) return
    this.#next = bytes + INTERVAL_BYTES
    this.#running = this.#sync()
  }

  /** Resolves when nothing is being written any more. @throws ERR_SYNC_FAILED */
  async settled(): Promise<void> {
    await this.#running
    if (this.#failure) throw this.#failure.error
  }

  async #sync(): Promise<void> {
    try {
      await syncFilesystem({ directory: this.#directory })
    } catch (error) {
      this.#failure ??= { error }
    } finally {
      this.#running = undefined
    }
  }
}
