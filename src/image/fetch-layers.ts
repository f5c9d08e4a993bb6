import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { openFeed } from '../host/feed.ts'
import type { Context } from '../lifecycle/context.ts'
import { withLayer } from '../lifecycle/with-layer.ts'
import type { Endpoint, RegistryTarget } from '../registry/types.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'
import { getLayer, insertBlob, insertLayer } from '../state/layer-table.ts'
import type { StagedLayer } from '../storage/storage-driver.ts'
import { runBounded } from '../util/run-bounded.ts'

/** Layers fetched at a time; more only make a slow line wait longer for the first. */
const PARALLEL_LAYERS = 4

/** Progress of one layer. */
export interface LayerProgress {
  readonly phase: 'download' | 'exists' | 'ready'
  readonly layer: Digest
  readonly bytes: number
  readonly totalBytes: number
  readonly unpackedBytes: number
}

export interface FetchLayersInput {
  readonly target: RegistryTarget
  readonly endpoint: Endpoint
  readonly layers: readonly { readonly diffId: Digest; readonly blob: Descriptor }[]
  readonly report: (progress: LayerProgress) => void
  readonly signal: AbortSignal | undefined
}

/**
 * Brings every layer into the store that is not there, several at a time. A layer that another chain or process is
 * fetching is waited for, not fetched twice. What was fetched before a failure stays for the next attempt.
 */
export async function fetchLayers(context: Context, input: FetchLayersInput): Promise<void> {
  const distinct = [...new Map(input.layers.map((layer) => [layer.diffId, layer])).values()]
  const largestFirst = distinct.sort((a, b) => b.blob.size - a.blob.size)
  await runBounded(largestFirst, PARALLEL_LAYERS, (layer, signal) => fetchLayer(context, { ...input, ...layer, signal }), input.signal)
}

interface FetchLayerInput extends Omit<FetchLayersInput, 'layers'> {
  readonly diffId: Digest
  readonly blob: Descriptor
}

async function fetchLayer(context: Context, input: FetchLayerInput): Promise<void> {
  const { diffId, blob, report, signal } = input
  const progress = (phase: LayerProgress['phase'], bytes: number, unpackedBytes: number) =>
    report({ phase, layer: blob.digest, bytes, totalBytes: blob.size, unpackedBytes })
  if (isPresent(context, diffId)) return progress('exists', blob.size, 0)
  await withLayer(
    context,
    diffId,
    async () => {
      if (isPresent(context, diffId)) return progress('exists', blob.size, 0)
      const staged = await stageLayer(context, input, (bytes, unpacked) => progress('download', bytes, unpacked))
      await publish(context, staged, blob.mediaType)
      progress('ready', blob.size, staged.size)
    },
    signal,
  )
}

/** A layer in state `staging` is whole and proven, only not yet known to be on the disk: good for any pull of this boot. */
function isPresent(context: Context, diffId: Digest): boolean {
  const layer = getLayer(context.db, diffId)
  return layer !== undefined && layer.state !== 'deleting'
}

async function stageLayer(
  context: Context,
  input: FetchLayerInput,
  onProgress: (bytes: number, unpackedBytes: number) => void,
): Promise<StagedLayer> {
  const { target, endpoint, blob, diffId, signal } = input
  const [registry, storage] = await Promise.all([context.registry(), context.storage()])
  const failed = new AbortController()
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal
  mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
  const feed = openFeed(join(context.paths.io, `layer-${randomBytes(8).toString('hex')}`))
  try {
    const source = registry.blob(target, blob, { signal: either, endpoint })
    const unpacking = storage.stage(
      { path: feed.path, blob, diffId },
      { signal: either, onProgress: ({ bytes, unpackedBytes }) => onProgress(bytes, unpackedBytes) },
    )
    // Whichever side fails first stops the other, and its error is the one that tells what happened.
    const stop = (error: unknown): never => {
      if (!failed.signal.aborted) failed.abort(error)
      throw error
    }
    const [outcome] = await Promise.allSettled([unpacking.catch(stop), pipeline(source, feed.stream, { signal: either }).catch(stop)])
    signal?.throwIfAborted()
    if (failed.signal.aborted) {
      if (outcome.status === 'fulfilled') await storage.discard(outcome.value)
      throw failed.signal.reason
    }
    return (outcome as PromiseFulfilledResult<StagedLayer>).value
  } finally {
    feed.close()
  }
}

async function publish(context: Context, staged: StagedLayer, mediaType: string): Promise<void> {
  const { db } = context
  const storage = await context.storage()
  await storage.publish(staged)
  const { diffId, size, usageBytes, entries, blobDigest, blobSize } = staged
  const now = Date.now()
  await db.transaction(() => {
    insertLayer(db, { diffId, form: 'directory', size, usageBytes, entries, state: 'staging', createdAt: now, lastUsedAt: now })
    insertBlob(db, { blobDigest, diffId, size: blobSize, mediaType })
  })
}
