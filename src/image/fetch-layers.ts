import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { feedJob } from '../host/feed.ts'
import type { Context } from '../lifecycle/context.ts'
import { withLayer } from '../lifecycle/with-layer.ts'
import type { Digest } from '../spec/digest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { findLayerOfBlob, getLayer, insertBlob, insertLayer, type LayerRow, updateLayer } from '../state/layer-table.ts'
import type { LayerSource, StagedLayer, StageOptions } from '../storage/storage-driver.ts'
import type { BlobContent } from '../transport/image-source.ts'
import { crashPoint } from '../util/crash-point.ts'
import { runBounded } from '../util/run-bounded.ts'
import type { PlannedLayer, StoredLayer } from './image-plan.ts'
import { ioPath } from './io-path.ts'

/** Layers fetched at a time; more only make a slow line wait longer for the first. */
const PARALLEL_LAYERS = 3
/** With fewer the disk's work is taken from the unpacking, which it makes a fifth longer. */
const PROCESSORS_TO_SPARE = 4

/** Progress of one layer. */
export interface LayerProgress {
  readonly phase: 'download' | 'exists' | 'ready'
  /** The layer's blob, or its diff ID where it has none; undefined where neither is known yet. */
  readonly layer: Digest | undefined
  readonly bytes: number
  readonly totalBytes: number
  readonly unpackedBytes: number
}

export interface FetchLayersInput {
  readonly layers: readonly PlannedLayer[]
  /** Somebody will wait for the disk. */
  readonly durable: boolean
  readonly report: (progress: LayerProgress) => void
  readonly signal: AbortSignal | undefined
}

/**
 * Brings every layer into the store that is not there, several at a time, and says what they are, in their order. A
 * layer that another chain or process is fetching is waited for, not fetched twice. What was fetched before a failure
 * stays for the next attempt.
 */
export async function fetchLayers(context: Context, { layers, durable, report, signal }: FetchLayersInput): Promise<StoredLayer[]> {
  const distinct = [...new Map(layers.map((layer) => [keyOf(layer), layer])).values()]
  const largestFirst = distinct.sort((a, b) => b.size - a.size)
  const stored = new Map<unknown, StoredLayer>()
  const flushSoon = durable || availableParallelism() >= PROCESSORS_TO_SPARE
  const fetchOne = async (layer: PlannedLayer, either: AbortSignal) => {
    stored.set(keyOf(layer), await fetchLayer(context, layer, { flushSoon, report, signal: either }))
  }
  await runBounded(largestFirst, PARALLEL_LAYERS, fetchOne, signal)
  return layers.map((layer) => stored.get(keyOf(layer)) as StoredLayer)
}

function keyOf(layer: PlannedLayer): unknown {
  return layer.diffId ?? layer.blob?.digest ?? layer
}

interface FetchLayerOptions {
  /** See {@link StageOptions.flushSoon}. */
  readonly flushSoon: boolean
  readonly report: (progress: LayerProgress) => void
  readonly signal: AbortSignal
}

async function fetchLayer(context: Context, layer: PlannedLayer, { flushSoon, report, signal }: FetchLayerOptions): Promise<StoredLayer> {
  const name = layer.blob?.digest ?? layer.diffId
  const progress = (phase: LayerProgress['phase'], bytes: number, unpackedBytes: number) =>
    report({ phase, layer: name, bytes, totalBytes: layer.size, unpackedBytes })
  const existing = () => {
    const row = findPresent(context, layer)
    if (row) progress('exists', layer.size, 0)
    return row && { diffId: row.diffId, size: row.size, blob: undefined }
  }
  const present = existing()
  if (present) return present
  const stage = () =>
    stageLayer(context, layer, { flushSoon, onProgress: (bytes, unpacked) => progress('download', bytes, unpacked), signal })
  const publishStaged = async (staged: StagedLayer): Promise<StoredLayer> => {
    await publish(context, staged, layer.blob?.mediaType)
    progress('ready', staged.blobSize, staged.size)
    return { diffId: staged.diffId, size: staged.size, blob: { digest: staged.blobDigest, size: staged.blobSize } }
  }
  // Shows the next process, should this one die, that there may be something to sweep.
  mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
  const { diffId } = layer
  if (diffId !== undefined) return withLayer(context, diffId, async () => existing() ?? publishStaged(await stage()), signal)
  // Which layer it is shows at the end: there is nothing to wait for before.
  const staged = await stage()
  return withLayer(context, staged.diffId, () => publishStaged(staged), signal).catch((error: unknown) => discard(context, staged, error))
}

/** A layer in state `staging` is whole and proven, only not yet known to be on the disk: good for any pull of this boot. */
function findPresent(context: Context, { diffId, blob }: Pick<PlannedLayer, 'diffId' | 'blob'>): LayerRow | undefined {
  if (diffId === undefined) return blob && findLayerOfBlob(context.db, blob.digest)
  const layer = getLayer(context.db, diffId)
  return layer?.state === 'deleting' ? undefined : layer
}

interface StageLayerOptions {
  readonly flushSoon: boolean
  readonly onProgress: (bytes: number, unpackedBytes: number) => void
  readonly signal: AbortSignal
}

/** Where other bytes come than were promised, and there is another place to get them from, they are fetched from there. */
async function stageLayer(context: Context, layer: PlannedLayer, options: StageLayerOptions): Promise<StagedLayer> {
  let content = await layer.content(options.signal)
  while (true) {
    try {
      return await stageContent(context, layer, { ...options, content })
    } catch (error) {
      options.signal.throwIfAborted()
      if (!('stream' in content) || content.instead === undefined) throw error
      content = await content.instead(error)
    }
  }
}

async function stageContent(
  context: Context,
  layer: PlannedLayer,
  { content, flushSoon, onProgress, signal }: StageLayerOptions & { readonly content: BlobContent },
): Promise<StagedLayer> {
  const storage = await context.storage()
  const stage = (source: Pick<LayerSource, 'path' | 'range'>, either: AbortSignal) =>
    storage.stage(
      { ...source, ...(layer.blob && { blob: layer.blob }), ...(layer.diffId && { diffId: layer.diffId }) },
      { signal: either, flushSoon, onProgress: ({ bytes, unpackedBytes }) => onProgress(bytes, unpackedBytes) },
    )
  if ('stream' in content) {
    const path = ioPath(context, 'layer')
    const undo = (staged: StagedLayer) => storage.removeLayer(staged)
    return feedJob({ path, source: content.stream, job: (either) => stage({ path }, either), undo, signal })
  }
  const { path, offset, size } = content.file
  return stage({ path, ...(size !== undefined && { range: { offset, size } }) }, signal)
}

async function publish(context: Context, staged: StagedLayer, mediaType: string = MEDIA_TYPES.ociLayer): Promise<void> {
  const { db } = context
  const storage = await context.storage()
  const { diffId, size, usageBytes, entries, blobDigest, blobSize } = staged
  crashPoint('pull: staged')
  // Where the diff ID shows only at the end, somebody may have fetched the layer meanwhile.
  const known = findPresent(context, { diffId, blob: undefined })
  if (known) await storage.removeLayer(staged)
  else await storage.publish(staged).catch((error: unknown) => discard(context, staged, error))
  crashPoint('pull: published')
  const now = Date.now()
  const written = db.transaction(() => {
    const row = { diffId, form: 'directory', size, usageBytes, entries, state: 'staging', createdAt: now, lastUsedAt: now } as const
    // The row of a removal that was cut short is still there.
    if (!known && !insertLayer(db, row)) updateLayer(db, diffId, { state: 'staging', createdAt: now })
    insertBlob(db, { blobDigest, diffId, size: blobSize, mediaType })
  })
  // Without a row nobody would find it to remove it.
  await (known ? written : written.catch((error: unknown) => discard(context, diffId, error)))
}

/** Removes what could not be kept. If that fails too, it is swept when the store is opened after this process. */
async function discard(context: Context, layer: Digest | StagedLayer, error: unknown): Promise<never> {
  await (await context.storage()).removeLayer(layer).catch(() => {})
  throw error
}
