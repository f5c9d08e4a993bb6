import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { listImageLayers } from '../state/image-table.ts'
import { listLayers } from '../state/layer-table.ts'
import { checkOptions } from '../util/options.ts'
import { usedImages } from './filter-images.ts'
import { listImages } from './inspect.ts'

/** What images take on disk. @public */
export interface ImageDiskUsage {
  /** All layers, each once. */
  readonly totalBytes: number
  /** What `prune({ all: true })` would give back. */
  readonly reclaimableBytes: number
  /** What builds have kept, which `removeBuildCache` gives back; in none of the other numbers. */
  readonly buildCacheBytes: number
  readonly images: readonly {
    readonly id: string
    readonly names: readonly string[]
    /** All of its layers. */
    readonly usageBytes: number
    /** Those of its layers that no other image has. */
    readonly uniqueBytes: number
    readonly inUse: boolean
  }[]
}

/** Adds up what layers take on disk, which rows tell, and what builds have kept, which must be looked at. */
export async function imageDiskUsage(context: Context, options: { readonly signal?: AbortSignal } = {}): Promise<ImageDiskUsage> {
  checkOptions('images.diskUsage', options, { signal: true })
  const buildCacheBytes = await buildCacheUsage(context, options.signal)
  return { ...context.db.read(() => measureImages(context)), buildCacheBytes }
}

/** Files of the ids of containers: only a worker can see them all. */
async function buildCacheUsage({ paths, host }: Context, signal: AbortSignal | undefined): Promise<number> {
  const path = join(paths.root, 'buildah')
  return existsSync(path) ? (await host()).run('tree-usage', { path }, { signal }) : 0
}

function measureImages(context: Context): Omit<ImageDiskUsage, 'buildCacheBytes'> {
  const { db } = context
  const used = usedImages(context)
  const sizes = new Map(listLayers(db).map(({ diffId, usageBytes }) => [diffId, usageBytes]))
  const stacks = listImages(context).map((image) => ({ image, layers: new Set(listImageLayers(db, image.id).map(({ diffId }) => diffId)) }))
  const holders = new Map<Digest, number>()
  for (const { layers } of stacks) for (const diffId of layers) holders.set(diffId, (holders.get(diffId) ?? 0) + 1)
  const needed = new Set(stacks.filter(({ image }) => used.has(image.id)).flatMap(({ layers }) => [...layers]))
  const sum = (diffIds: Iterable<Digest>) => [...diffIds].reduce((total, diffId) => total + (sizes.get(diffId) ?? 0), 0)
  return {
    totalBytes: sum(sizes.keys()),
    reclaimableBytes: sum([...sizes.keys()].filter((diffId) => !needed.has(diffId))),
    images: stacks.map(({ image, layers }) => ({
      id: image.id,
      names: image.names,
      usageBytes: sum(layers),
      uniqueBytes: sum([...layers].filter((diffId) => holders.get(diffId) === 1)),
      inUse: used.has(image.id),
    })),
  }
}
