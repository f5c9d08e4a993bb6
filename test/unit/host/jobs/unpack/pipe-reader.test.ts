import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { PipeReader } from '../../../../../src/host/jobs/unpack/pipe-reader.ts'

const CHUNK = 4096
const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

describe('reading a pipe in large chunks', () => {
  let directory: string
  let fifo: string
  let reader: PipeReader
  let writeEnd: number | undefined

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'podlib-pipe-'))
    fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    reader = new PipeReader(openSync(fifo, O_RDONLY | O_NONBLOCK), CHUNK)
    writeEnd = openSync(fifo, O_WRONLY | O_NONBLOCK)
  })

  afterEach(() => {
    reader.destroy()
    closeWriter()
    rmSync(directory, { recursive: true })
  })

  /** What reading gives from now on; the writer is gone. */
  async function rest(): Promise<Buffer[]> {
    const chunks: Buffer[] = []
    for await (const chunk of reader as AsyncIterable<Buffer>) {
      chunks.push(Buffer.from(chunk))
      await sleep(1)
    }
    return chunks
  }

  it.each([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 60_000])('gives all of %i bytes, in order', async (size) => {
    const bytes = randomBytes(size)
    if (size > 0) write(bytes)
    closeWriter()
    const chunks = await rest()
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    expect(chunks.every(({ length }) => length > 0 && length <= CHUNK)).toBe(true)
  })

  it('gives what has come to whoever waits for it, without waiting for a full chunk', async () => {
    const chunks = (reader as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    const first = chunks.next()
    write('a few bytes')
    expect(String((await first).value)).toBe('a few bytes')
    write('and some more')
    expect(String((await chunks.next()).value)).toBe('and some more')
    closeWriter()
    expect((await chunks.next()).done).toBe(true)
  })

  it('reads no more than one chunk ahead of whoever is slow', async () => {
    const bytes = randomBytes(16 * CHUNK)
    write(bytes)
    await sleep(20)
    // The pipe was full: what it has room for now has been read.
    expect(write(bytes)).toBe(CHUNK)
    closeWriter()
    expect(Buffer.concat(await rest()).equals(Buffer.concat([bytes, bytes.subarray(0, CHUNK)]))).toBe(true)
  })

  it('reaches to the end of its buffer with one of the chunks that share it, so that its memory can be given back', async () => {
    write(randomBytes(100))
    const chunks = (reader as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    const first: Buffer = (await chunks.next()).value
    write(randomBytes(2 * CHUNK))
    const second: Buffer = (await chunks.next()).value
    expect(second.buffer).toBe(first.buffer)
    expect(second.byteOffset).toBe(first.length)
    expect(second.byteOffset + second.length).toBe(second.buffer.byteLength)
  })

  it('closes the pipe when it is destroyed, also with bytes that nobody has read', async () => {
    write(randomBytes(60_000))
    await sleep(5)
    reader.destroy()
    await new Promise((resolve) => reader.once('close', resolve))
    expect(() => write('x')).toThrow(/EPIPE/)
  })

  function write(bytes: string | Buffer): number {
    return writeSync(writeEnd as number, bytes as Buffer)
  }

  function closeWriter(): void {
    if (writeEnd !== undefined) closeSync(writeEnd)
    writeEnd = undefined
  }
})
