import { Readable } from 'node:stream'
import type { Context } from '../../lifecycle/context.ts'
import type { Descriptor } from '../../spec/descriptor.ts'
import type { Digest } from '../../spec/digest.ts'
import type { Reference } from '../../spec/reference.ts'
import { type BlobRow, getLayer, insertBlob, listBlobsOfLayer } from '../../state/layer-table.ts'
import type { BlobOutcome, ImageDestination } from '../../transport/image-destination.ts'
import type { BlobContent } from '../../transport/image-source.ts'
import { runBounded } from '../../util/run-bounded.ts'
import { copyBlob } from '../copy/blobs.ts'
import { ociType } from '../copy/convert.ts'
import { type LayerBlob, withLayerBlobs } from '../layer-blobs.ts'
import { registrySource } from '../registry-source.ts'
import { type AvailableBlob, type BlobFinder, blobReference } from './available.ts'
import type { PushProgress } from './options.ts'
import { type PushWish, suitsLayer } from './wish.ts'

/** A push to a registry under way. */
export interface PushRun {
  readonly reference: Reference
  readonly destination: ImageDestination
  readonly finder: BlobFinder
  readonly wish: PushWish
  readonly report: (progress: PushProgress) => void
  readonly signal: AbortSignal
}

/** A layer as a manifest names it. */
export interface PushLayer {
  readonly diffId: Digest
  readonly blob: Descriptor
}

export interface PushedLayers {
  readonly blobs: ReadonlyMap<Digest, Descriptor>
  readonly outcomes: readonly BlobOutcome[]
}

/** Brings the very blobs of a manifest to the registry: those that it has, or has elsewhere, and tars as they came. */
export async function pushVerbatim(context: Context, layers: readonly PushLayer[], run: PushRun): Promise<BlobOutcome[]> {
  const outcomes: BlobOutcome[] = []
  const distinct = [...new Map(layers.map((layer) => [layer.blob.digest, layer])).values()]
  const push = async ({ diffId, blob }: PushLayer, signal: AbortSignal) => {
    const available = await run.finder.find(blob.digest, diffId)
    outcomes.push(
      await (available
        ? pushAvailable(context, { diffId, blob }, { ...run, signal, available })
        : pushPlain(context, diffId, { ...run, signal })),
    )
  }
  await runBounded(distinct, run.destination.parallel, push, run.signal)
  return outcomes
}

/** Brings layers of the store to the registry in whatever form it may have, or else in the form that is wished for. */
export async function pushLayers(context: Context, diffIds: readonly Digest[], run: PushRun): Promise<PushedLayers> {
  const blobs = new Map<Digest, Descriptor>()
  const outcomes: BlobOutcome[] = []
  const push = async (diffId: Digest, signal: AbortSignal) => {
    const { blob, outcome } =
      (await pushKnown(context, diffId, { ...run, signal })) ?? (await pushAnew(context, diffId, { ...run, signal }))
    blobs.set(diffId, blob)
    outcomes.push(outcome)
  }
  await runBounded([...new Set(diffIds)], run.destination.parallel, push, run.signal)
  return { blobs, outcomes }
}

interface Pushed {
  readonly blob: Descriptor
  readonly outcome: BlobOutcome
}

/** By a blob that is known to hold the layer, if the registry has one. */
async function pushKnown(context: Context, diffId: Digest, run: PushRun): Promise<Pushed | undefined> {
  for (const { blobDigest, size, mediaType } of listBlobsOfLayer(context.db, diffId)) {
    if (!suitsLayer(mediaType, run.wish)) continue
    const available = await run.finder.find(blobDigest, diffId)
    const blob = { mediaType: ociType(mediaType), digest: blobDigest, size }
    if (available) return { blob, outcome: await pushAvailable(context, { diffId, blob }, { ...run, available }) }
  }
  return undefined
}

/** Where the registry does not mount it after all, it is fetched from the repository that has it. */
async function pushAvailable(
  context: Context,
  layer: PushLayer,
  { available, ...run }: PushRun & { readonly available: AvailableBlob },
): Promise<BlobOutcome> {
  const [repository] = available.mountFrom
  const content = async (): Promise<BlobContent> => {
    const from = blobReference(run.reference, repository ?? run.reference.repository, layer.blob.digest)
    return (await registrySource(context, from)).blob(layer.blob, run.signal)
  }
  return put(layer, { ...run, content, mountFrom: available.mountFrom })
}

async function pushPlain(context: Context, diffId: Digest, run: PushRun): Promise<BlobOutcome> {
  return (await pushAs(context, diffId, { ...run, compression: 'none' })).outcome
}

/** Compressed in a worker, the same layer always to the same blob. */
async function pushAnew(context: Context, diffId: Digest, run: PushRun): Promise<Pushed> {
  const { compression = 'gzip' } = run.wish
  if (compression !== 'none') run.report({ phase: 'compress', layer: diffId, bytes: 0, totalBytes: 0 })
  return pushAs(context, diffId, { ...run, compression })
}

async function pushAs(
  context: Context,
  diffId: Digest,
  { compression, ...run }: PushRun & { readonly compression: 'none' | 'gzip' | 'zstd' },
): Promise<Pushed> {
  return withLayerBlobs(context, {
    diffIds: [diffId],
    compression,
    signal: run.signal,
    async use(made) {
      const { digest, size, mediaType, open } = made.get(diffId) as LayerBlob
      const blob = { mediaType, digest, size }
      const content = async () => ({ stream: Readable.from(open()) })
      const outcome = await put({ diffId, blob }, { ...run, content, mountFrom: [] })
      await remember(context, { blobDigest: digest, diffId, size, mediaType })
      return { blob, outcome }
    },
  })
}

/** Known to hold the layer now: the next push finds it at the registry without compressing the layer again. */
async function remember({ db }: Context, blob: BlobRow): Promise<void> {
  await db.transaction(() => {
    if (blob.blobDigest !== blob.diffId && getLayer(db, blob.diffId) !== undefined) insertBlob(db, blob)
  })
}

type PutLayer = Pick<PushRun, 'destination' | 'report' | 'signal'> & {
  readonly content: () => Promise<BlobContent>
  readonly mountFrom: readonly string[]
}

async function put({ diffId, blob }: PushLayer, { destination, report, signal, content, mountFrom }: PutLayer): Promise<BlobOutcome> {
  const progress = (phase: BlobOutcome | 'upload', bytes: number) => report({ phase, layer: diffId, bytes, totalBytes: blob.size })
  const source = { names: [], blob: content }
  const outcome = await copyBlob(blob, { source, destination, mountFrom, onProgress: (bytes) => progress('upload', bytes), signal })
  progress(outcome, blob.size)
  return outcome
}
