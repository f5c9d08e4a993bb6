import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createCompressor, decompressedChunks } from '../../archive/compression.ts'
import { PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { Digest } from '../../spec/digest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import type { BlobContent } from '../../transport/image-source.ts'
import { runBounded } from '../../util/run-bounded.ts'
import type { PlannedLayer } from '../image-plan.ts'
import type { LayerBlob } from '../layer-blobs.ts'
import { outputError } from '../output-error.ts'
import { stagingPath } from '../staged-archive.ts'
import { provenBytes, readContent } from './blobs.ts'

export interface StageLayers<Result> {
  readonly layers: readonly PlannedLayer[]
  readonly compression: 'none' | 'gzip'
  readonly onProgress: (layer: PlannedLayer, bytes: number) => void
  readonly signal: AbortSignal
  /** Gets the layers in their order. */
  readonly use: (blobs: readonly LayerBlob[]) => Promise<Result>
}

/** Staged at a time. */
const PARALLEL_LAYERS = 3
/** A larger layer is taken for an attempt to fill the disk. */
const MAX_LAYER_BYTES = 256 * 1024 ** 3

/**
 * Runs `use` with layers in another form than they come in: uncompressed, or compressed by gzip. How long they are then, and
 * what their digest is, shows only at the end, so they wait in temporary files. Blob and diff ID are both proven.
 */
export async function withStagedLayers<Result>(context: Context, input: StageLayers<Result>): Promise<Result> {
  const { layers, compression, onProgress, signal, use } = input
  if (layers.some(({ diffId }) => diffId === undefined)) throw schemaOne()
  const blobs = new Map<PlannedLayer, LayerBlob>()
  const paths = new Map(layers.map((layer) => [layer, stagingPath(context, '.blob')]))
  const stage = async (layer: PlannedLayer, either: AbortSignal) => {
    const path = paths.get(layer) as string
    const report = (bytes: number) => onProgress(layer, bytes)
    blobs.set(layer, await stageLayer(layer, { path, compression, report, signal: either }))
  }
  try {
    await runBounded(layers, PARALLEL_LAYERS, stage, signal)
    return await use(layers.map((layer) => blobs.get(layer) as LayerBlob))
  } finally {
    for (const path of paths.values()) await rm(path, { force: true })
  }
}

interface StageLayer {
  readonly path: string
  readonly compression: 'none' | 'gzip'
  readonly report: (bytes: number) => void
  readonly signal: AbortSignal
}

async function stageLayer(layer: PlannedLayer, { path, compression, report, signal }: StageLayer): Promise<LayerBlob> {
  const diffId = layer.diffId as Digest
  const hash = createHash('sha256')
  let size = 0
  async function* measured(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      size += chunk.length
      hash.update(chunk)
      yield chunk
    }
  }
  const tar = layerTar(layer, { content: await layer.content(signal), report, signal })
  const compressor = compression === 'none' ? new PassThrough() : createCompressor(compression)
  try {
    await pipeline(tar, compressor, measured, createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw outputError(error, path)
  }
  const mediaType = compression === 'none' ? MEDIA_TYPES.ociLayer : MEDIA_TYPES.ociLayerGzip
  const open = () => createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>
  return { diffId, digest: `sha256:${hash.digest('hex')}`, size, mediaType, open }
}

interface LayerBytes {
  readonly content: BlobContent
  readonly report: (bytes: number) => void
  readonly signal: AbortSignal
}

/** The uncompressed layer, proven. */
async function* layerTar({ diffId, blob }: PlannedLayer, { content, report, signal }: LayerBytes): AsyncGenerator<Buffer> {
  async function* incoming() {
    const bytes = readContent(content)
    let count = 0
    for await (const chunk of blob ? provenBytes(bytes, { ...blob, what: `blob ${blob.digest}` }) : bytes) {
      count += chunk.length
      report(count)
      yield chunk
    }
  }
  let size = 0
  for await (const chunk of provenBytes(decompressedChunks(incoming(), signal), {
    digest: diffId as Digest,
    size: undefined,
    what: 'the layer',
  })) {
    size += chunk.length
    if (size > MAX_LAYER_BYTES) throw tooLarge(diffId)
    yield chunk
  }
}

/** Only there nobody says what the layers are. */
export function schemaOne(): PodlibError {
  const text = 'an image with a Docker schema 1 manifest is not copied as it is: pull it, and push it with a manifest of today'
  return new PodlibError('ERR_MANIFEST_UNSUPPORTED', text)
}

function tooLarge(diffId: Digest | undefined): PodlibError {
  return new PodlibError('ERR_LAYER_TOO_LARGE', `layer ${diffId} has more than ${MAX_LAYER_BYTES} bytes`, {
    details: { diffId, maxBytes: MAX_LAYER_BYTES },
  })
}
