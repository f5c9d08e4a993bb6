import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { PodlibError } from '../errors/errors.ts'
import { drainJob } from '../host/drain.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { getLayer } from '../state/layer-table.ts'
import { runBounded } from '../util/run-bounded.ts'
import { ioPath } from './io-path.ts'
import { stagingPath } from './staged-archive.ts'

/** A layer as a blob again: its tar as it came, or compressed anew. */
export interface LayerBlob {
  readonly diffId: Digest
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
  readonly open: () => AsyncIterable<Buffer>
}

/** How layers are compressed when they are written. @public */
export type LayerCompression = 'none' | 'gzip' | 'zstd'

/** Compressed at a time. */
const PARALLEL_LAYERS = 4
const COMPRESSED_TYPES = { gzip: MEDIA_TYPES.ociLayerGzip, zstd: MEDIA_TYPES.ociLayerZstd } as const

export interface LayerBlobsInput<Result> {
  readonly diffIds: readonly Digest[]
  readonly compression: LayerCompression
  readonly signal: AbortSignal | undefined
  readonly use: (blobs: ReadonlyMap<Digest, LayerBlob>) => Promise<Result>
}

/**
 * Runs `use` with layers of the store as blobs. Uncompressed ones are written while they are read and take no space;
 * compressed ones must be complete before anybody can say how long they are, and wait in temporary files.
 */
export async function withLayerBlobs<Result>(context: Context, input: LayerBlobsInput<Result>): Promise<Result> {
  const { compression, signal, use } = input
  const diffIds = [...new Set(input.diffIds)]
  if (compression === 'none') return use(new Map(diffIds.map((diffId) => [diffId, plainBlob(context, diffId, signal)])))
  const blobs = new Map<Digest, LayerBlob>()
  const paths = new Map(diffIds.map((diffId) => [diffId, stagingPath(context, '.blob')]))
  try {
    const storage = await context.storage()
    const compress = async (diffId: Digest, either: AbortSignal) => {
      const path = paths.get(diffId) as string
      const { blobDigest, blobSize } = await storage.writeTar(diffId, { path, compression }, either)
      const open = () => createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>
      blobs.set(diffId, { diffId, digest: blobDigest, size: blobSize, mediaType: COMPRESSED_TYPES[compression], open })
    }
    await runBounded(diffIds, PARALLEL_LAYERS, compress, signal)
    return await use(blobs)
  } finally {
    for (const path of paths.values()) await rm(path, { force: true })
  }
}

function plainBlob(context: Context, diffId: Digest, signal: AbortSignal | undefined): LayerBlob {
  const layer = getLayer(context.db, diffId)
  if (layer === undefined) throw new PodlibError('ERR_LAYER_NOT_FOUND', `no layer ${diffId} is in the store`, { details: { diffId } })
  return { diffId, digest: diffId, size: layer.size, mediaType: MEDIA_TYPES.ociLayer, open: () => layerTar(context, diffId, signal) }
}

/** The tar of a layer, while a worker writes it. */
async function* layerTar(context: Context, diffId: Digest, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const storage = await context.storage()
  const path = ioPath(context, 'tar')
  yield* drainJob(path, (either) => storage.writeTar(diffId, { path }, either), signal)
}
