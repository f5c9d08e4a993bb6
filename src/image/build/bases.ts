import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import { digestHex, digestOf } from '../../spec/digest.ts'
import type { ImageConfig } from '../../spec/image.ts'
import type { Platform } from '../../spec/platform.ts'
import { tarSink } from '../../transport/file-sink.ts'
import { writeDockerArchive } from '../../transport/saved-image.ts'
import { withLayerBlobs } from '../layer-blobs.ts'
import { pullImage } from '../pull.ts'
import type { PullPolicy } from '../pull-policy.ts'
import { type ImageToSave, imagesToSave, savedImage } from '../saved-manifest.ts'
import { stagingPath } from '../staged-archive.ts'
import type { Buildah } from './buildah.ts'
import type { BuildImage } from './images.ts'
import type { BuildProgress } from './options.ts'

export interface BasesInput {
  readonly buildah: Buildah
  readonly images: readonly BuildImage[]
  readonly policy: PullPolicy
  /** Of images for which the Containerfile says none; undefined for whichever the store has. */
  readonly platform: string | Platform | undefined
  readonly report: (progress: BuildProgress) => void
  readonly signal: AbortSignal
}

/**
 * Brings the images that a build needs into the store, as a pull does, and from there into Buildah's storage. Resolves to
 * their ids by the names that the builder will ask for.
 */
export async function provideBases(context: Context, input: BasesInput): Promise<Map<string, string>> {
  const ids = new Map<string, string>()
  for (const { written, name, platform, line } of input.images) {
    const id = await provideImage(context, input, name, platform ?? input.platform)
    const known = ids.get(written) ?? ids.get(name)
    if (known !== undefined && known !== id)
      throw new PodlibError(
        'ERR_CONTAINERFILE_INVALID',
        `line ${line}: ${name} is needed for two platforms; give one of them as a context`,
        {
          details: { line, image: name },
        },
      )
    // Builders differ in whether they look before or after replacing variables.
    for (const key of [written, name]) if (!key.includes('=')) ids.set(key, id)
  }
  return ids
}

/** Resolves to the id under which Buildah has an image from then on. */
export async function provideImage(
  context: Context,
  { buildah, policy, report, signal }: BasesInput,
  name: string,
  platform: string | Platform | undefined,
): Promise<string> {
  const pull = pullImage(context, name, { policy, signal, ...(platform !== undefined && { platform }) })
  for await (const progress of pull) report(progress)
  const image = withHistory(imagesToSave(context, [(await pull).id], context.platform)[0] as ImageToSave)
  const { exitCode } = await buildah.run(['inspect', '--type=image', '--format={{.FromImageID}}', '--', image.row.id])
  if (exitCode !== 0) await handOver(context, buildah, image, signal)
  return image.row.id
}

/**
 * Images of some builders have no history. Buildah gets no further than one step with such: it gets the image with an entry for
 * each layer, under the id that it has then.
 */
function withHistory(image: ImageToSave): ImageToSave {
  const config = JSON.parse(Buffer.from(image.row.config).toString('utf8')) as ImageConfig
  const { diff_ids: diffIds } = config.rootfs
  const entries = (config.history ?? []).filter((entry) => entry.empty_layer !== true)
  if (entries.length === diffIds.length) return image
  const bytes = Buffer.from(JSON.stringify({ ...config, history: diffIds.map((diffId) => ({ created_by: `layer ${diffId}` })) }))
  return { ...image, row: { ...image.row, id: digestHex(digestOf(bytes)), config: bytes }, manifests: [] }
}

/**
 * As a docker-archive: Buildah reads that where it is. An OCI layout it would name after its path, which may be no name, and an
 * archive of one it would unpack first.
 */
async function handOver(context: Context, buildah: Buildah, image: ImageToSave, signal: AbortSignal): Promise<void> {
  const path = stagingPath(context, '.tar')
  const { id } = image.row
  try {
    await withLayerBlobs(context, {
      diffIds: image.layers.map(({ diffId }) => diffId),
      compression: 'none',
      signal,
      use: async (blobs) => {
        const sink = tarSink(createWriteStream(path, { flags: 'wx', mode: 0o600 }))
        await writeDockerArchive(sink, [savedImage({ ...image, names: [] }, blobs, 'docker-archive')])
        await sink.finish()
      },
    })
    const exit = await buildah.run(['pull', '--quiet', `--signature-policy=${buildah.policy}`, '--', `docker-archive:${path}`])
    if (exit.exitCode !== 0 || exit.stdout.trim() !== id)
      throw new PodlibError('ERR_BUILD_FAILED', `buildah could not take over image ${id.slice(0, 12)}: ${exit.stderr.trim()}`, {
        details: { imageId: id },
        program: exit,
      })
  } finally {
    await rm(path, { force: true })
  }
}
