import { closeSync, fdatasync, open } from 'node:fs'
import { errorCode, errorMessage, PodlibError, systemErrorCode } from '../errors/errors.ts'

/**
 * Brings the write-ahead log to the disk. SQLite would do it inside a commit, and the event loop of the application would
 * stand still until the disk has it: milliseconds, or a second while much else is being written. Here a thread of Node's
 * pool waits, one at a time however many ask.
 */
export class LogSync {
  readonly #path: string
  #running: Promise<void> | undefined
  /** Of those who asked while one ran: it may have begun before what they wrote. */
  #next: Promise<void> | undefined

  /** @param database - its path */
  constructor(database: string) {
    this.#path = `${database}-wal`
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
    this.#running = sync(this.#path).finally(() => (this.#running = undefined))
    return this.#running
  }
}

function sync(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error: unknown) => {
      // Whoever closed the database last has put the log into it, and synced that.
      if (!error || errorCode(error) === 'ENOENT') resolve()
      else reject(notSynced(path, error))
    }
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
