import { Socket } from 'node:net'
import { Readable } from 'node:stream'

/**
 * Reads a pipe straight into large chunks. By itself Node takes new memory for each read of 64 KiB, copies what has gathered
 * when it is asked for more, and leaves both to the garbage collector, which comes late where there is little else to do.
 * What has come goes out as soon as somebody asks, so several chunks may be parts of one buffer, one after the other.
 */
export class PipeReader extends Readable {
  readonly #chunkBytes: number
  readonly #socket: Socket
  /** Full, and not asked for yet: until it is, nothing is read. */
  #full: Buffer | undefined
  #chunk: Buffer
  #filled = 0
  /** Where in the chunk begins what nobody has been given yet. */
  #given = 0
  #wanted = false

  /** @param fd - of a pipe; closed with the reader */
  constructor(fd: number, chunkBytes: number) {
    // Nothing is asked for ahead: that somebody asks means that somebody waits.
    super({ objectMode: true, highWaterMark: 0 })
    this.#chunkBytes = chunkBytes
    this.#chunk = Buffer.allocUnsafeSlow(chunkBytes)
    const onread = { buffer: () => this.#chunk.subarray(this.#filled), callback: (bytes: number) => this.#took(bytes) }
    this.#socket = new Socket({ fd, readable: true, writable: false, onread })
    this.#socket.on('error', (error) => this.destroy(error)).once('end', () => this.#end())
    this.#socket.resume()
  }

  override _read(): void {
    this.#wanted = true
    if (this.#full === undefined && this.#filled === this.#given) return
    this.#give()
    this.#socket.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#socket.closed) done(error)
    else this.#socket.once('close', () => done(error)).destroy()
  }

  /** @returns whether to read on */
  #took(bytes: number): boolean {
    this.#filled += bytes
    if (this.#filled === this.#chunkBytes) {
      this.#full = this.#chunk.subarray(this.#given)
      this.#chunk = Buffer.allocUnsafeSlow(this.#chunkBytes)
      this.#filled = this.#given = 0
    }
    if (this.#wanted) this.#give()
    return this.#full === undefined
  }

  #give(): void {
    const next = this.#full ?? this.#chunk.subarray(this.#given, this.#filled)
    if (this.#full === undefined) this.#given = this.#filled
    this.#full = undefined
    this.#wanted = false
    this.push(next)
  }

  #end(): void {
    // Nothing is full: what is full stops the reading, and the end is read too.
    if (this.#filled > this.#given) this.#give()
    this.push(null)
  }
}
