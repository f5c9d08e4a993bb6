import { closeSync, constants, createWriteStream, openSync, readdirSync, readSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createCompressor } from '../../archive/compression.ts'
import { LAYER_REASSEMBLY, LAYER_REPLACED, LAYER_TREE } from '../../archive/layer-files.ts'
import { type PayloadReference, readReassembly } from '../../archive/reassembly.ts'
import { escapeName } from '../../archive/tar-entry.ts'
import { ContentMeter } from '../../archive/verified-stream.ts'
import { errorCode, PodlibError } from '../../errors/errors.ts'
import type { Digest } from '../../spec/digest.ts'
import type { JobContext } from '../job.ts'

export interface WriteLayerTarInput {
  /** The directory of an unpacked layer. */
  readonly directory: string
  /** A path, made or overwritten, or an open descriptor, which is closed at the end. What a failure leaves there is useless. */
  readonly target: string | number
  readonly compression?: 'gzip' | 'zstd'
  readonly level?: number
  /** The layer's diff ID on record: what is written must have it. */
  readonly diffId?: Digest
}

export interface WrittenLayerTar {
  readonly diffId: Digest
  /** Of the tar. */
  readonly size: number
  /** Of what was written: the same as the diff ID when nothing was compressed. */
  readonly blobDigest: Digest
  readonly blobSize: number
}

const CHUNK_BYTES = 1024 * 1024

/**
 * Writes the tar that a layer was unpacked from, byte for byte, from the unpacked tree and the side file.
 *
 * @throws ERR_STORE_CORRUPT when the tree or the side file was changed
 */
export async function writeLayerTar(input: WriteLayerTarInput, { signal }: Pick<JobContext, 'signal'>): Promise<WrittenLayerTar> {
  const { target, compression, level } = input
  const tar: { diffId?: Digest; size?: number } = {}
  // One chunk is read while another is written.
  const options = { highWaterMark: 2 * CHUNK_BYTES }
  const output =
    typeof target === 'number' ? createWriteStream('', { fd: target, ...options }) : createWriteStream(target, { mode: 0o600, ...options })
  const chunks = layerTarChunks(input, tar, signal)
  const blob = new ContentMeter({ digest: undefined, size: undefined, what: 'layer blob' })
  try {
    if (compression === undefined) await pipeline(chunks, output, { signal })
    else
      await pipeline(
        chunks,
        createCompressor(compression, level),
        (compressed: AsyncIterable<Buffer>) => metered(compressed, blob),
        output,
        { signal },
      )
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  const { diffId, size } = tar as { diffId: Digest; size: number }
  if (compression === undefined) return { diffId, size, blobDigest: diffId, blobSize: size }
  return { diffId, size, blobDigest: blob.finish(), blobSize: blob.size }
}

async function* metered(chunks: AsyncIterable<Buffer>, meter: ContentMeter): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    meter.update(chunk)
    yield chunk
  }
}

/** The tar in large chunks, hashed; what it turned out to be goes into `tar` once it is proven. */
async function* layerTarChunks(
  input: WriteLayerTarInput,
  tar: { diffId?: Digest; size?: number },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { directory } = input
  const meter = new ContentMeter({ digest: undefined, size: undefined, what: 'uncompressed layer' })
  let end: EndOfTar | undefined
  for await (const piece of layerTarPieces(directory, signal)) {
    if (!Buffer.isBuffer(piece)) end = piece
    else {
      meter.update(piece)
      yield piece
    }
  }
  if (end === undefined) throw corrupt(directory, 'its side file has no end')
  const diffId = meter.finish()
  const expected = input.diffId ?? end.diffId
  if (meter.size !== end.size || diffId !== end.diffId || diffId !== expected)
    throw corrupt(directory, `its tar has diff ID ${diffId}, not ${expected}`)
  Object.assign(tar, { diffId, size: meter.size })
}

interface EndOfTar {
  readonly size: number
  readonly diffId: Digest
}

/** The bytes of the tar in large buffers (most records have a few hundred), then what they should have been. */
async function* layerTarPieces(directory: string, signal: AbortSignal): AsyncGenerator<Buffer | EndOfTar> {
  const replaced = replacedPayloads(directory)
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let filled = 0
  let end: EndOfTar | undefined
  for await (const record of readReassembly(`${directory}/${LAYER_REASSEMBLY}`, signal)) {
    if (record.kind === 'end') {
      end = record
      continue
    }
    const source = record.kind === 'raw' ? rawSource(record.bytes) : payloadSource(directory, replaced, record)
    try {
      for (let used = source.fill(chunk, filled); used > 0; used = source.fill(chunk, filled)) {
        filled += used
        if (filled < CHUNK_BYTES) continue
        yield chunk
        chunk = Buffer.allocUnsafe(CHUNK_BYTES)
        filled = 0
      }
    } finally {
      source.close()
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled)
  if (end) yield end
}

/** Puts its next bytes into a buffer from `at` on and says how many; 0 at its end. */
interface PieceSource {
  fill(target: Buffer, at: number): number
  close(): void
}

function rawSource(bytes: Buffer): PieceSource {
  let position = 0
  const fill = (target: Buffer, at: number) => {
    const used = bytes.copy(target, at, position)
    position += used
    return used
  }
  return { fill, close: () => {} }
}

function payloadSource(directory: string, replaced: ReadonlySet<string>, record: PayloadReference & { number: number }): PieceSource {
  const { path, size, sparse, number } = record
  const inReplaced = replaced.has(String(number))
  const file = inReplaced
    ? Buffer.from(`${directory}/${LAYER_REPLACED}/${number}`)
    : Buffer.concat([Buffer.from(`${directory}/${LAYER_TREE}/`), path])
  const fd = openPayload(file, directory, path)
  const segments = (sparse ?? [{ offset: 0, length: size }]).map((segment) => ({ ...segment }))
  const fill = (target: Buffer, at: number): number => {
    const segment = segments[0]
    if (segment === undefined) return 0
    const used = readSync(fd, target, at, Math.min(segment.length, target.length - at), segment.offset)
    if (used === 0) throw corrupt(directory, `${escapeName(path)} is shorter than it was`)
    segment.offset += used
    segment.length -= used
    if (segment.length === 0) segments.shift()
    return used
  }
  return { fill, close: () => closeSync(fd) }
}

function openPayload(file: Buffer, directory: string, name: Buffer): number {
  try {
    return openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    throw corrupt(directory, `cannot read ${escapeName(name)}`, error)
  }
}

function replacedPayloads(directory: string): ReadonlySet<string> {
  try {
    return new Set(readdirSync(`${directory}/${LAYER_REPLACED}`))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return new Set()
    throw error
  }
}

function corrupt(directory: string, what: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_STORE_CORRUPT', `cannot re-assemble the layer in ${directory}: ${what}`, { details: { directory }, cause })
}
