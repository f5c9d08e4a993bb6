import { PassThrough } from 'node:stream'
import type { Context } from '../../lifecycle/context.ts'
import { loadIntoDaemon } from '../../transport/docker-daemon.ts'
import { archiveOutput } from '../../transport/file-destination.ts'
import { tarSink } from '../../transport/file-sink.ts'
import { type SavedImage, writeDockerArchive } from '../../transport/saved-image.ts'
import { describeImage } from '../image-plan.ts'
import { outputError } from '../output-error.ts'
import { verifyImage } from '../verify.ts'
import { type DestinationPlace, formatDestination } from './destination.ts'
import type { CopiedImage } from './options.ts'
import type { CopyRun } from './run.ts'
import { collectSignatures, noPlaceFor } from './signatures.ts'
import type { CopySource } from './source.ts'
import { withStagedLayers } from './staged.ts'

type DockerPlace = Extract<DestinationPlace, { readonly names: readonly string[] }>

/** Copies an image to where Docker's form rules: the config as it is, the layers uncompressed, and no manifest. */
export async function copyToDocker(context: Context, from: CopySource, place: DockerPlace, run: CopyRun): Promise<CopiedImage> {
  const { platform, signatures, report, signal } = run
  const reference = formatDestination(place)
  report({ phase: 'manifest', reference })
  const { manifestDigest, indexDigest, plan } = await describeImage(from.source, platform, signal)
  report({ phase: 'verify', reference })
  await verifyImage(context, { identity: from.identity, manifestDigest, indexDigest, sources: from.signatures, signal })
  if (signatures === 'keep') {
    const found = await collectSignatures(context, {
      sources: from.signatures,
      reference: from.reference,
      digests: [manifestDigest],
      signal,
    })
    if (found.length > 0) throw noPlaceFor(found, `${reference} has no place for them`)
  }
  const planned = await plan(signal)
  return withStagedLayers(context, {
    layers: planned.layers,
    compression: 'none',
    onProgress: ({ blob, diffId, size }, bytes) => {
      const digest = blob?.digest ?? diffId
      if (digest) report({ phase: 'copy', blob: digest, bytes, totalBytes: size })
    },
    signal,
    async use(layers) {
      const stored = layers.map(({ diffId, size }) => ({ diffId, size, blob: undefined }))
      const { raw, configBytes, configDigest } = planned.complete(stored)
      report({ phase: 'publish', reference })
      await write(
        context,
        { names: place.names, config: configBytes, configDigest, manifest: raw, layers, signatures: [] },
        { place, signal },
      )
      return {
        destination: reference,
        manifestDigest: undefined,
        converted: true,
        images: 1,
        blobs: { uploaded: new Set(layers.map(({ diffId }) => diffId)).size + 1, mounted: 0, present: 0 },
        signatures: 0,
      }
    },
  })
}

interface Write {
  readonly place: DockerPlace
  readonly signal: AbortSignal
}

async function write({ dockerHost }: Context, image: SavedImage, { place, signal }: Write): Promise<void> {
  if (place.transport === 'docker-archive') return writeArchive(image, place.path, signal)
  const archive = new PassThrough({ highWaterMark: 1 << 20 })
  const sink = tarSink(archive)
  const written = writeDockerArchive(sink, [image])
    .then(() => sink.finish())
    .catch((error) => archive.destroy(error))
  try {
    await loadIntoDaemon({ dockerHost, signal }, archive)
  } finally {
    archive.destroy()
    await written
  }
}

async function writeArchive(image: SavedImage, path: string, signal: AbortSignal): Promise<void> {
  const { sink, publish, discard } = await archiveOutput(path)
  try {
    await writeDockerArchive(sink, [image])
    signal.throwIfAborted()
    await publish()
  } catch (error) {
    await discard()
    throw outputError(error, path)
  }
}
