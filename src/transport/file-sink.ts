import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { tarPadding } from '../archive/tar-entry.ts'
import { encodeTarMember, TAR_END_BYTES } from '../archive/tar-writer.ts'
import { errorCode, PodlibError } from '../errors/errors.ts'
import type { Digest } from '../spec/digest.ts'

/** Bytes of known length and digest, which whoever gives them has proven, to be written as one file. */
export interface SinkContent {
  readonly size: number
  readonly digest: Digest
  readonly open: () => AsyncIterable<Buffer>
}

/** Where the files of a saved image go: a directory, or a tar that is written from front to back. */
export interface FileSink {
  /** Adds a file; one that is there already is left alone. @throws ERR_SIZE_MISMATCH */
  add(name: string, content: SinkContent): Promise<void>
  /** Adds a small file, or replaces it in a directory. */
  write(name: string, bytes: Buffer): Promise<void>
  /** Completes the output. */
  finish(): Promise<void>
}

/** A tar whose bytes depend on nothing but its content. */
export function tarSink(output: Writable): FileSink {
  const names = new Set<string>()
  const failure = finished(output, { readable: false })
  failure.catch(() => {})
  const put = async (bytes: Buffer) => {
    if (output.write(bytes)) return
    await Promise.race([new Promise((resolve) => output.once('drain', resolve)), failure])
  }
  const header = (name: string, size: number) =>
    put(encodeTarMember({ type: 'file', name, mode: 0o644, uid: 0, gid: 0, size, mtime: { seconds: 0, nanoseconds: 0 } }))
  return {
    async add(name, content) {
      if (names.has(name)) return
      names.add(name)
      await header(name, content.size)
      for await (const chunk of exactly(content, name)) await put(chunk)
      await put(Buffer.alloc(tarPadding(content.size)))
    },
    async write(name, bytes) {
      names.add(name)
      await header(name, bytes.length)
      await put(Buffer.concat([bytes, Buffer.alloc(tarPadding(bytes.length))]))
    },
    async finish() {
      output.end(Buffer.alloc(TAR_END_BYTES))
      await failure
    },
  }
}

/** Files below a directory, each complete as soon as it has its name. */
export function directorySink(directory: string): FileSink {
  const place = async (name: string, fill: (temporary: string) => Promise<void>) => {
    const path = join(directory, name)
    const temporary = join(directory, `.podlib-${randomBytes(8).toString('hex')}`)
    await mkdir(dirname(path), { recursive: true })
    try {
      await fill(temporary)
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }
  return {
    async add(name, content) {
      if (await isFileOf(join(directory, name), content.size)) return
      await place(name, (temporary) => writeContent(temporary, content, name))
    },
    write: (name, bytes) => place(name, (temporary) => writeFile(temporary, bytes)),
    finish: async () => {},
  }
}

async function writeContent(path: string, content: SinkContent, name: string): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  try {
    for await (const chunk of exactly(content, name)) {
      for (let written = 0; written < chunk.length; ) written += (await file.write(chunk, written)).bytesWritten
    }
  } finally {
    await file.close()
  }
}

/** The bytes, as many as were announced: what follows in a tar would else be read as content. */
async function* exactly({ open: openContent, size }: SinkContent, what: string): AsyncGenerator<Buffer> {
  let count = 0
  for await (const chunk of openContent()) {
    count += chunk.length
    if (count > size) break
    yield chunk
  }
  if (count === size) return
  throw new PodlibError(
    'ERR_SIZE_MISMATCH',
    `${what} has ${count > size ? 'more than ' : ''}${Math.min(count, size)} bytes, expected ${size}`,
  )
}

async function isFileOf(path: string, size: number): Promise<boolean> {
  try {
    const found = await stat(path)
    return found.isFile() && found.size === size
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw new PodlibError('ERR_ARCHIVE_INVALID', `cannot write ${path}: ${errorCode(error)}`, { details: { path }, cause: error })
  }
}
