import { chmodSync, mkdirSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { decompressedChunks, detectCompression, SNIFF_BYTES } from '../../archive/compression.ts'
import { releaseChunk } from '../../archive/release-chunk.ts'
import { escapeName, type TarEntry } from '../../archive/tar-entry.ts'
import { TarReader } from '../../archive/tar-reader.ts'
import { ContentMeter } from '../../archive/verified-stream.ts'
import type { PodlibErrorCode } from '../../errors/codes.ts'
import { errorCode, errorMessage, isPodlibError, PodlibError, systemErrorCode } from '../../errors/errors.ts'
import type { Digest } from '../../spec/digest.ts'
import type { JobContext } from '../job.ts'
import { removeTree } from './remove-tree.ts'
import { EarlySync } from './unpack/early-sync.ts'
import { type LayerLimits, LayerSink, type UnpackedTree } from './unpack/layer-sink.ts'
import { closeSource, openSource, type SourceRange } from './unpack/source.ts'
import { wrongOrDamaged } from './unpack/wrong-or-damaged.ts'

export interface UnpackLayerInput {
  /** A file, or a FIFO that another process writes the blob into. */
  readonly source: { readonly path: string; readonly range?: SourceRange | undefined }
  /** What the manifest says of the blob; undefined where there is no manifest (`import`). */
  readonly blob: { readonly digest: Digest; readonly size: number | undefined } | undefined
  /** What the image config says of the uncompressed tar. */
  readonly diffId: Digest | undefined
  /** Made by the job with mode 0700; must not exist. Removed when the job fails. */
  readonly directory: string
  /** Namespace of overlay's own attributes: `user` inside a user namespace. */
  readonly xattrPrefix: 'trusted' | 'user'
  readonly limits?: Partial<LayerLimits>
}

export interface UnpackLayerProgress {
  /** Of the blob. */
  readonly bytes: number
  readonly unpackedBytes: number
  readonly entries: number
}

export interface UnpackedLayer extends UnpackedTree {
  readonly blobDigest: Digest
  readonly blobSize: number
  readonly diffId: Digest
  /** Of the uncompressed tar. */
  readonly size: number
}

const DEFAULT_LIMITS: LayerLimits = { maxBytes: 256 * 1024 ** 3, maxEntries: 4_000_000 }
/** A smaller blob is mostly one of several, which keep the processors busy without a further thread. */
const THREADED_FROM_BYTES = 128 * 1024 * 1024
const REPORT_INTERVAL_MS = 50
/** System errors that only the layer's content can cause. */
const CONTENT_ERRORS: ReadonlySet<string | undefined> = new Set([
  'ENAMETOOLONG',
  'EILSEQ',
  'EMLINK',
  'EINVAL',
  'ENOENT',
  'ERANGE',
  'E2BIG',
  'EFBIG',
])

/**
 * Unpacks one layer: reads the blob once, hashes it, decompresses it, hashes the tar, and applies each
 * entry as it comes, all in one pass with bounded memory. Afterwards `directory` has
 *
 * - `fs/`: the tree in overlay's form (whiteouts are 0:0 devices, opaque directories have the attribute)
 * - `reassembly.zst` and maybe `replaced/`: what the same tar can be written from again
 * - `implied-directories`, if the layer has entries in directories that it has no entry for
 *
 * Nothing is published or synced: the caller runs `syncfs` and renames once both digests are known to be
 * right, which is when this returns. On any failure and on abort the directory is gone.
 *
 * @throws ERR_LAYER_INVALID | ERR_LAYER_TOO_LARGE | ERR_COMPRESSION_INVALID | ERR_COMPRESSION_UNSUPPORTED |
 * ERR_DIGEST_MISMATCH | ERR_SIZE_MISMATCH | ERR_NO_SPACE | ERR_PERMISSION | ERR_ROOTLESS_SETUP
 */
export async function unpackLayer(input: UnpackLayerInput, context: JobContext<UnpackLayerProgress>): Promise<UnpackedLayer> {
  const { directory } = input
  context.signal.throwIfAborted()
  mkdirSync(directory, { mode: 0o700 })
  try {
    chmodSync(directory, 0o700)
    const source = openSource(input.source, context.signal)
    try {
      return await unpackFrom(source, input, context)
    } finally {
      await closeSource(source)
    }
  } catch (error) {
    removeTree({ paths: [directory] })
    context.signal.throwIfAborted()
    throw error
  }
}

async function unpackFrom(source: Readable, input: UnpackLayerInput, context: JobContext<UnpackLayerProgress>): Promise<UnpackedLayer> {
  const { directory, xattrPrefix } = input
  const sync = new EarlySync(directory)
  const threaded = (input.blob?.size ?? 0) >= THREADED_FROM_BYTES
  const tar = new ContentMeter({ digest: input.diffId, size: undefined, what: 'uncompressed layer' }, threaded)
  const sink = new LayerSink({ directory, xattrPrefix, limits: { ...DEFAULT_LIMITS, ...input.limits } })
  try {
    return await unpackInto({ source, sink, sync, tar }, input, context)
  } finally {
    await tar.close()
    sink.closeAll()
  }
}

interface Ends {
  readonly source: Readable
  readonly sink: LayerSink
  readonly sync: EarlySync
  readonly tar: ContentMeter
}

async function unpackInto(
  { source, sink, sync, tar }: Ends,
  input: UnpackLayerInput,
  context: JobContext<UnpackLayerProgress>,
): Promise<UnpackedLayer> {
  const { signal } = context
  const blob = new ContentMeter({ digest: input.blob?.digest, size: input.blob?.size, what: 'layer blob' })
  const reader = new TarReader(sink)
  const progress = throttled(() => context.report({ bytes: blob.size, unpackedBytes: reader.offset, entries: sink.entries }))
  const result: { blobDigest?: Digest } = {}
  async function* hashedBlob(): AsyncGenerator<Buffer> {
    for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      blob.update(chunk)
      yield chunk
      releaseChunk(chunk)
    }
    // Here, so that a short or wrong blob is called that and not a damaged compression.
    result.blobDigest = blob.finish()
  }
  const hashed = hashedBlob()
  const head = await firstBytes(hashed)
  const isPlain = detectCompression(head) === 'none'
  const content = startingWith(head, hashed)
  try {
    // A chunk is good until the next one is asked for.
    for await (const chunk of isPlain ? content : decompressedChunks(content, signal)) {
      try {
        applying(sink, reader, () => reader.push(chunk))
      } finally {
        tar.take(chunk)
      }
      sync.reached(reader.offset)
      progress()
      // Chunks that wait would follow one another without a look at the thread that inflates, which may have ended its turn.
      await nextTurn()
    }
  } catch (error) {
    await hashed.return(undefined)
    throw await wrongOrDamaged(error, { source, meter: input.blob ? blob : isPlain && input.diffId ? tar : undefined })
  }
  // Before the end of the tar is looked at: a wrong tar is mostly an incomplete one too.
  const diffId = await tar.finished()
  reader.end()
  const tree = applying(sink, reader, () => sink.finish(reader.offset, diffId))
  progress(true)
  return { blobDigest: result.blobDigest as Digest, blobSize: blob.size, diffId, size: reader.offset, ...tree }
}

async function* startingWith(head: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield* rest
}

async function firstBytes(blob: AsyncGenerator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0)
  while (head.length < SNIFF_BYTES) {
    const next = await blob.next()
    if (next.done) break
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value])
  }
  return head
}

/** Runs a step of unpacking; its errors say which entry it was, and where. */
function applying<T>(sink: LayerSink, reader: TarReader, step: () => T): T {
  try {
    return step()
  } catch (error) {
    throw layerError(error, sink.current, reader.offset)
  }
}

function layerError(error: unknown, entry: TarEntry | undefined, readerOffset: number): PodlibError {
  const offset = entry?.offset ?? readerOffset
  const name = entry && escapeName(entry.name)
  const place = { offset, ...(name !== undefined && { entry: name }) }
  if (isPodlibError(error)) {
    if (error.details.offset !== undefined) return error
    const message = name === undefined ? error.message : `${error.message} (entry "${name}")`
    return new PodlibError(error.code, message, { details: { ...place, ...error.details }, cause: error.cause })
  }
  const systemCode = errorCode(error)
  const code: PodlibErrorCode = CONTENT_ERRORS.has(systemCode) ? 'ERR_LAYER_INVALID' : systemErrorCode(systemCode)
  const message = `cannot unpack the layer${name === undefined ? '' : ` at entry "${name}"`}: ${errorMessage(error)}`
  return new PodlibError(code, message, { details: { ...place, systemCode }, cause: error })
}

function throttled(report: () => void): (force?: boolean) => void {
  let last = 0
  return (force = false) => {
    const now = performance.now()
    if (!force && now - last < REPORT_INTERVAL_MS) return
    last = now
    report()
  }
}
