import { randomBytes } from 'node:crypto'
import { createReadStream, mkdirSync } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { decompressedChunks, detectCompression, SNIFF_BYTES } from '../archive/compression.ts'
import { errorCode, PodlibError, systemErrorCode } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'

/** A larger archive is taken for an attempt to fill the disk. */
const MAX_ARCHIVE_BYTES = 256 * 1024 ** 3
const ZEROS = Buffer.alloc(1024 * 1024)

/** A path for a temporary file of this process. What a killed process leaves there is deleted when the store is opened next. */
export function stagingPath(context: Context, suffix: string): string {
  const directory = join(context.paths.root, 'staging')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  return join(directory, `${context.owner.pid}-${context.owner.startTime}-${randomBytes(8).toString('hex')}${suffix}`)
}

/** Whether a file can be read at any offset as it is; a compressed one cannot. */
async function isPlainFile(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(SNIFF_BYTES), 0, SNIFF_BYTES, 0)
    return (await file.stat()).isFile() && detectCompression(buffer.subarray(0, bytesRead)) === 'none'
  } finally {
    await file.close()
  }
}

/** Runs `use` with a plain tar on disk: of a compressed archive or a stream a copy is made, once, and removed at the end. */
export async function withPlainArchive<Result>(
  context: Context,
  archive: string | AsyncIterable<Uint8Array>,
  { signal, use }: { readonly signal: AbortSignal | undefined; readonly use: (path: string) => Promise<Result> },
): Promise<Result> {
  if (typeof archive === 'string' && (await isPlainFile(archive))) return use(archive)
  const path = stagingPath(context, '.tar')
  try {
    await writeDecompressed(
      path,
      typeof archive === 'string' ? createReadStream(archive, { highWaterMark: ZEROS.length }) : archive,
      signal,
    )
    return await use(path)
  } finally {
    await rm(path, { force: true })
  }
}

async function writeDecompressed(path: string, source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  let size = 0
  try {
    for await (const chunk of decompressedChunks(buffers(source), signal)) {
      if (size + chunk.length > MAX_ARCHIVE_BYTES) throw tooLarge()
      await writeChunk(file, chunk, size)
      size += chunk.length
    }
    await file.truncate(size)
  } catch (error) {
    signal?.throwIfAborted()
    if (systemErrorCode(errorCode(error)) !== 'ERR_NO_SPACE') throw error
    throw new PodlibError('ERR_NO_SPACE', 'no space left to unpack the archive of images', { details: { path, size }, cause: error })
  } finally {
    await file.close()
  }
}

async function* buffers(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of source) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
}

/** Zeros are left out as holes: a bomb of them takes no space. */
async function writeChunk(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  if (chunk.length <= ZEROS.length && chunk.equals(ZEROS.subarray(0, chunk.length))) return
  for (let written = 0; written < chunk.length; )
    written += (await file.write(chunk, written, chunk.length - written, position + written)).bytesWritten
}

function tooLarge(): PodlibError {
  return new PodlibError('ERR_ARCHIVE_TOO_LARGE', `the archive of images has more than ${MAX_ARCHIVE_BYTES} bytes`, {
    details: { maxBytes: MAX_ARCHIVE_BYTES },
  })
}
