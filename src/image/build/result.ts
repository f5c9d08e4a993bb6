import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isPodlibError, PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import { type Digest, digestHex } from '../../spec/digest.ts'
import type { ImageConfig } from '../../spec/image.ts'
import { getLayer, type LayerRow } from '../../state/layer-table.ts'
import { blobName } from '../../transport/oci-layout.ts'
import { storePlan } from '../acquire.ts'
import { describeImage } from '../image-plan.ts'
import { type ImagePlace, withImages } from '../open-location.ts'
import { pullProgress } from '../progress.ts'
import { parseImageConfig } from '../select-manifest.ts'
import { stagingPath } from '../staged-archive.ts'
import type { Buildah, BuildahExit } from './buildah.ts'
import type { BuildProgress } from './options.ts'

export interface ResultInput {
  readonly buildah: Buildah
  /** In Buildah's storage. */
  readonly id: string
  readonly format: 'oci' | 'docker'
  /** Full names. */
  readonly names: readonly string[]
  readonly report: (progress: BuildProgress) => void
  readonly signal: AbortSignal
}

/** Brings what was built into the store. No policy is asked: what is made here is for whoever makes it to trust. */
export async function storeResult(context: Context, input: ResultInput): Promise<void> {
  const inspected = await input.buildah.run(['inspect', '--type=image', '--format={{.Config}}', '--', input.id])
  if (inspected.exitCode !== 0) throw exportFailed(input.id, inspected)
  const config = parseImageConfig(Buffer.from(inspected.stdout.trim()))
  const known = input.format === 'oci' ? storedLayers(context, config) : []
  try {
    await exportAndStore(context, input, config, known)
  } catch (error) {
    // A layer that was there can have been removed meanwhile: then it is needed after all.
    if (!isPodlibError(error) || storedLayers(context, config).length === known.length || known.length === 0) throw error
    await exportAndStore(context, input, config, [])
  }
}

function storedLayers(context: Context, { rootfs }: ImageConfig): LayerRow[] {
  return rootfs.diff_ids
    .map((diffId) => getLayer(context.db, diffId))
    .filter((layer) => layer !== undefined && layer.state !== 'deleting') as LayerRow[]
}

async function exportAndStore(context: Context, input: ResultInput, config: ImageConfig, known: readonly LayerRow[]): Promise<void> {
  const { buildah, id, format, names, report, signal } = input
  const directory = stagingPath(context, '.built')
  try {
    await mkdir(directory, { mode: 0o700 })
    await pretendBlobs(directory, known)
    const exit = await buildah.run([
      'push',
      '--quiet',
      `--signature-policy=${buildah.policy}`,
      ...target(format),
      '--',
      id,
      place(format, directory),
    ])
    if (exit.exitCode !== 0) throw exportFailed(id, exit)
    const from: ImagePlace = format === 'oci' ? { transport: 'oci', path: directory, ref: TAG } : { transport: 'dir', path: directory }
    await withImages(context, from, {
      dockerHost: undefined,
      signal,
      use: async (images) => {
        const { source } = images[0] as (typeof images)[number]
        const described = await describeImage(source, config, signal)
        const plan = await described.plan(signal)
        if (plan.configDigest === undefined || digestHex(plan.configDigest) !== id) throw exportFailed(id, exit)
        const progress = (one: Parameters<typeof pullProgress>[0]) => report(pullProgress(one, names[0] ?? id))
        await storePlan(context, plan, { names, replaceNames: true, action: 'build', durable: true, report: progress, signal })
      },
    })
  } finally {
    await (await context.host()).run('remove-tree', { paths: [directory] })
  }
}

const TAG = 'built'

function place(format: ResultInput['format'], directory: string): string {
  return format === 'oci' ? `oci:${directory}:${TAG}` : `dir:${directory}`
}

/** An OCI layout is always written compressed, so cheaply; the dir transport keeps Docker's manifest, and tars as they are. */
function target(format: ResultInput['format']): string[] {
  return format === 'oci' ? ['--compression-format=zstd', '--compression-level=1'] : ['--format=v2s2', '--disable-compression']
}

/**
 * Layers of the store are neither written nor read again: where a layout has a blob of the right name and size, Buildah takes
 * it for that layer. Should one be read after all, its digest shows that it is none.
 */
async function pretendBlobs(directory: string, layers: readonly LayerRow[]): Promise<void> {
  for (const { diffId, size } of layers) {
    const path = join(directory, blobName(diffId as Digest))
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    const file = await open(path, 'w', 0o600)
    await file.truncate(size).finally(() => file.close())
  }
}

function exportFailed(id: string, exit: BuildahExit): PodlibError {
  return new PodlibError(
    'ERR_BUILD_FAILED',
    `cannot take image ${id.slice(0, 12)} out of buildah: ${exit.stderr.trim() || 'it has changed'}`,
    {
      details: { imageId: id },
      program: exit,
    },
  )
}
