import { closeSync, fdatasync, open } from 'node:fs'
import { rm, stat, writeFile } from 'node:fs/promises'
import { errorCode, errorMessage, PodlibError, systemErrorCode } from '../errors/errors.ts'

/**
 * Brings the write-ahead log to the disk. SQLite would do it inside a commit, and the event loop of the application would
 * stand still until the disk has it: milliseconds, or a second while much else is being written. Here a thread of Node's
 * pool waits, one at a time however many ask.
 */
export class LogSync {
  readonly #path: string
  readonly #checkpoint: () => void
  #refusal: Error | undefined
  #running: Promise<void> | undefined
  /** Of those who asked while one ran: it may have begun before what they wrote. */
  #next: Promise<void> | undefined

  /**
   * @param database - its path
   * @param checkpoint - brings all commits to the disk by way of the database and empties the log, or throws
   */
  constructor(database: string, checkpoint: () => void) {
    this.#path = `${database}-wal`
    this.#checkpoint = checkpoint
  }

  /** Somebody else has seen the disk fail: the kernel tells that but once. */
  distrust(error: Error): void {
    this.#refusal ??= error
  }

  /** Resolves when everything that is committed now is on the disk. @throws ERR_NO_SPACE and the like, the commits are kept then */
  synced(): Promise<void> {
    if (this.#running === undefined) return this.#start()
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  #start(): Promise<void> {
    this.#next = undefined
    this.#running = this.#sync().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #sync(): Promise<void> {
    this.#refusal ??= await sync(this.#path)
    if (this.#refusal === undefined) return
    // The kernel takes for written what the disk has refused, and not even writing it there again is sure to help (ext4 keeps
    // such blocks as unwritten). But the memory still has it, and the database has other blocks.
    try {
      await this.#assertDiskWrites()
      this.#checkpoint()
    } catch {
      throw notSynced(this.#path, this.#refusal)
    }
    this.#refusal = await sync(this.#path)
    if (this.#refusal) throw notSynced(this.#path, this.#refusal)
  }

  /** The blocks of the database must not have the same fate. */
  async #assertDiskWrites(): Promise<void> {
    const probe = `${this.#path}-probe`
    const { size } = await stat(this.#path)
    try {
      await writeFile(probe, Buffer.alloc(size), { flush: true, mode: 0o600 })
    } finally {
      await rm(probe, { force: true })
    }
  }
}

/** @returns why the disk does not have it */
function sync(path: string): Promise<Error | undefined> {
  return new Promise((resolve) => {
    // Whoever closed the database last has put the log into it, and synced that.
    const settle = (error: Error | null) => resolve(!error || errorCode(error) === 'ENOENT' ? undefined : error)
    open(path, 'r', (error, fd) => {
      if (error) return settle(error)
      fdatasync(fd, (failure) => {
        closeSync(fd)
        settle(failure)
      })
    })
  })
}

function notSynced(path: string, cause: unknown): PodlibError {
  const systemCode = errorCode(cause)
  const text = `${path} could not be written to the disk: ${errorMessage(cause)}; what was done is kept, but a power cut may take it`
  return new PodlibError(systemErrorCode(systemCode), text, { details: { path, systemCode }, cause })
}
