import { chmodSync, mkdirSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { escapeName, type TarEntry } from '../../archive/tar-entry.ts'
import { TarReader } from '../../archive/tar-reader.ts'
import type { PodlibErrorCode } from '../../errors/codes.ts'
import { errorCode, errorMessage, isPodlibError, PodlibError, systemErrorCode } from '../../errors/errors.ts'
import type { JobContext } from '../job.ts'
import { removeTree } from './remove-tree.ts'
import { EarlySync } from './unpack/early-sync.ts'
import { type LayerContent, type LayerContentInput, openLayerContent, type ProvenContent } from './unpack/layer-content.ts'
import { type LayerLimits, LayerSink, type UnpackedTree } from './unpack/layer-sink.ts'
import { ThreadedContent } from './unpack/threaded-content.ts'

export interface UnpackLayerInput extends LayerContentInput {
  /** Made by the job with mode 0700; must not exist. Removed when the job fails. */
  readonly directory: string
  /** Namespace of overlay's own attributes: `user` inside a user namespace. */
  readonly xattrPrefix: 'trusted' | 'user'
  readonly limits?: Partial<LayerLimits>
  /** Somebody will wait for the disk to have all of it: it begins to write. */
  readonly flushSoon?: boolean
}

export interface UnpackLayerProgress {
  /** Of the blob. */
  readonly bytes: number
  readonly unpackedBytes: number
  readonly entries: number
}

export interface UnpackedLayer extends UnpackedTree, ProvenContent {
  /** Of the uncompressed tar. */
  readonly size: number
}

const DEFAULT_LIMITS: LayerLimits = { maxBytes: 256 * 1024 ** 3, maxEntries: 4_000_000 }
/** A smaller blob is mostly one of several, which keep the processors busy without further threads. */
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
 * Nothing is published or known to be on the disk: the caller renames once both digests are known to be
 * right, which is when this returns. On any failure and on abort the directory is gone.
 *
 * @throws ERR_LAYER_INVALID | ERR_LAYER_TOO_LARGE | ERR_COMPRESSION_INVALID | ERR_COMPRESSION_UNSUPPORTED |
 * ERR_DIGEST_MISMATCH | ERR_SIZE_MISMATCH | ERR_NO_SPACE | ERR_SYNC_FAILED | ERR_PERMISSION | ERR_ROOTLESS_SETUP
 */
export async function unpackLayer(input: UnpackLayerInput, context: JobContext<UnpackLayerProgress>): Promise<UnpackedLayer> {
  const { directory } = input
  context.signal.throwIfAborted()
  mkdirSync(directory, { mode: 0o700 })
  try {
    chmodSync(directory, 0o700)
    const threaded = (input.blob?.size ?? 0) >= THREADED_FROM_BYTES
    const content = threaded ? new ThreadedContent(input, context.signal) : openLayerContent(input, context.signal)
    const sink = new LayerSink({ directory, xattrPrefix: input.xattrPrefix, limits: { ...DEFAULT_LIMITS, ...input.limits } })
    const sync = input.flushSoon ? new EarlySync(directory) : undefined
    try {
      return await unpackInto(sink, { content, sync }, context)
    } finally {
      await content.close()
      sink.closeAll()
      // Whatever else went wrong: other layers may be lost by what this tells of.
      await sync?.settled()
    }
  } catch (error) {
    removeTree({ paths: [directory] })
    context.signal.throwIfAborted()
    throw error
  }
}

async function unpackInto(
  sink: LayerSink,
  { content, sync }: { readonly content: LayerContent; readonly sync: EarlySync | undefined },
  context: JobContext<UnpackLayerProgress>,
): Promise<UnpackedLayer> {
  const reader = new TarReader(sink)
  const progress = throttled(() => context.report({ bytes: content.bytes, unpackedBytes: reader.offset, entries: sink.entries }))
  try {
    for await (const chunk of content.chunks()) {
      applying(sink, reader, () => reader.push(chunk))
      sync?.reached(reader.offset)
      progress()
      // Chunks that wait would follow one another without a look at what else happens, such as an abort.
      await nextTurn()
    }
  } catch (error) {
    throw await content.blame(error)
  }
  // Before the end of the tar is looked at: a wrong tar is mostly an incomplete one too.
  const proven = await content.prove()
  reader.end()
  const tree = applying(sink, reader, () => sink.finish(reader.offset, proven.diffId))
  progress(true)
  return { ...proven, size: reader.offset, ...tree }
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
