import type { CreateContainerOptions } from '../bundle/container-options.ts'
import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { foreignTrees } from '../image/additional-images.ts'
import { checkPullPolicy, type PullPolicy } from '../image/pull-policy.ts'
import { findImage } from '../image/resolve-name.ts'
import { parseImageConfig } from '../image/select-manifest.ts'
import type { Context } from '../lifecycle/context.ts'
import { validateContainerOptions } from '../spec/validate-container.ts'
import { hasLostLayers } from '../state/image-table.ts'
import { invalidOption } from '../util/options.ts'
import type { ContainerImage } from './create.ts'

/** A name, digest or id; as an object surely an id, which is never pulled. */
export type ImageChoice = string | { readonly id: string }

/** How a verb that makes a container comes by its image. */
export interface ImageWish {
  readonly policy?: PullPolicy | undefined
  readonly signal?: AbortSignal | undefined
  /** What the container is to be: nothing is pulled for one that cannot be. */
  readonly options: CreateContainerOptions
}

/** The image of a new container, pulled first where the policy says so. @throws ERR_IMAGE_NOT_FOUND, and what a pull throws */
export async function imageFor(
  context: Context,
  image: ImageChoice,
  { policy = 'missing', signal, options }: ImageWish,
): Promise<ContainerImage> {
  checkPullPolicy(policy)
  signal?.throwIfAborted()
  if (typeof image !== 'string' || policy === 'never') return storedImage(context, image)
  const stored = policy === 'missing' ? wholeImage(context, image) : undefined
  if (stored) return stored
  validateContainerOptions(options)
  const { pullImage } = await import('../image/pull.ts')
  const pulled = await pullImage(context, image, { policy: policy === 'missing' ? 'always' : policy, ...(signal && { signal }) })
  return { ...storedImage(context, { id: pulled.id }), name: pulled.name }
}

function wholeImage(context: Context, name: string): ContainerImage | undefined {
  try {
    const image = storedImage(context, name)
    return hasLostLayers(context.db, image.id) ? undefined : image
  } catch (error) {
    if (isPodlibError(error, 'ERR_IMAGE_NOT_FOUND')) return undefined
    throw error
  }
}

function storedImage(context: Context, image: ImageChoice): ContainerImage {
  const nameOrId = typeof image === 'string' ? image : image?.id
  if (typeof nameOrId !== 'string') throw invalidOption('image', image, "give a name, or an id as { id: '...' }")
  const { row, name, foreign } = findImage(context, nameOrId, context.platform)
  const config = parseImageConfig(row.config)
  if (config.os !== 'linux') {
    throw new PodlibError('ERR_PLATFORM_MISMATCH', `image ${name} is for ${config.os}, and podlib runs Linux images only`, {
      details: { image: name, os: config.os },
    })
  }
  const layers = foreign ? foreignTrees(context, foreign) : config.rootfs.diff_ids
  return { id: row.id, name, config, layers, store: foreign?.store }
}
