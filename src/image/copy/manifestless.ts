import { Readable } from 'node:stream'
import type { Context } from '../../lifecycle/context.ts'
import type { Digest } from '../../spec/digest.ts'
import { MEDIA_TYPES } from '../../spec/media-types.ts'
import type { ManifestSource } from '../../transport/image-source.ts'
import { describeImage } from '../image-plan.ts'
import { verifyImage } from '../verify.ts'
import { writeManifest } from './convert.ts'
import type { CopyRun } from './run.ts'
import type { CopySource } from './source.ts'
import { withStagedLayers } from './staged.ts'

export type MadeSource = CopySource & { readonly source: ManifestSource; readonly converted: true }

/**
 * Runs `use` with an image that came without a manifest, and has one then: its config as it is, its layers compressed by gzip.
 * The policy has been asked about it.
 */
export async function withManifest<Result>(
  context: Context,
  from: CopySource,
  { platform, report, signal }: CopyRun,
  use: (made: MadeSource) => Promise<Result>,
): Promise<Result> {
  const { source, identity, signatures } = from
  const { manifestDigest, indexDigest, plan } = await describeImage(source, platform, signal)
  await verifyImage(context, { identity, manifestDigest, indexDigest, sources: signatures, signal })
  const planned = await plan(signal)
  return withStagedLayers(context, {
    layers: planned.layers,
    compression: 'gzip',
    onProgress: ({ diffId, size }, bytes) => report({ phase: 'copy', blob: diffId as Digest, bytes, totalBytes: size }),
    signal,
    async use(layers) {
      const stored = layers.map(({ diffId, size }) => ({ diffId, size, blob: undefined }))
      const { configBytes, configDigest } = planned.complete(stored)
      const config = { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: configBytes.length }
      const raw = writeManifest('oci', { config, layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })) })
      const contents = new Map([
        ...layers.map(({ digest, open }) => [digest, () => Readable.from(open())] as const),
        [configDigest, () => Readable.from([configBytes])] as const,
      ])
      const made: ManifestSource = {
        form: 'manifest',
        names: source.names,
        manifest: async () => raw,
        blobBytes: async () => configBytes,
        blob: async ({ digest }) => ({ stream: (contents.get(digest) as () => Readable)() }),
      }
      return use({ ...from, source: made, converted: true })
    },
  })
}
