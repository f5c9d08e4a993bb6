import { type FileHandle, open, stat } from 'node:fs/promises'
import { errorCode } from '../errors/errors.ts'

const BLOCK_BYTES = 2 ** 18
const NEWLINE = 0x0a

/**
 * Reads a growing file in blocks of whole lines, and notices when another took its place: writers rotate
 * a log by renaming a new file over it.
 */
export class LogFile {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #inode: bigint
  #position: number
  #buffer = Buffer.allocUnsafe(BLOCK_BYTES)
  /** Of the bytes in the buffer, those up to `given` were handed out; the rest is a line whose end has not been read. */
  #given = 0
  #filled = 0

  private constructor(path: string, handle: FileHandle, inode: bigint, position: number) {
    this.#path = path
    this.#handle = handle
    this.#inode = inode
    this.#position = position
  }

  /** Undefined when there is no such file. */
  static async open(path: string): Promise<LogFile | undefined> {
    let handle: FileHandle
    try {
      handle = await open(path, 'r')
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
    const { ino } = await handle.stat({ bigint: true })
    return new LogFile(path, handle, ino, 0)
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  /** Continues at an offset, which must be the start of a line. */
  seek(offset: number): void {
    this.#position = offset
    this.#given = 0
    this.#filled = 0
  }

  /** The next whole lines, valid until the next call, or undefined at what is now the end. */
  async read(): Promise<Buffer | undefined> {
    this.#buffer.copyWithin(0, this.#given, this.#filled)
    this.#filled -= this.#given
    this.#given = 0
    while (this.#given === 0) {
      if (this.#filled === this.#buffer.length) this.#grow()
      const { bytesRead } = await this.#handle.read(this.#buffer, this.#filled, this.#buffer.length - this.#filled, this.#position)
      if (bytesRead === 0) return undefined
      this.#given = this.#buffer.lastIndexOf(NEWLINE, this.#filled + bytesRead - 1) + 1
      this.#filled += bytesRead
      this.#position += bytesRead
    }
    return this.#buffer.subarray(0, this.#given)
  }

  /** Reads bytes at an offset without moving on. */
  async readAt(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length)
    const { bytesRead } = await this.#handle.read(buffer, 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }

  /** Whether the path leads to another file by now, or this one was cut. */
  async isReplaced(): Promise<boolean> {
    try {
      const now = await stat(this.#path, { bigint: true })
      return now.ino !== this.#inode || now.size < BigInt(this.#position)
    } catch (error) {
      // In the middle of a rotation there may be no file at all.
      if (errorCode(error) === 'ENOENT') return false
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  #grow(): void {
    const larger = Buffer.allocUnsafe(this.#buffer.length * 2)
    this.#buffer.copy(larger, 0, 0, this.#filled)
    this.#buffer = larger
  }
}
