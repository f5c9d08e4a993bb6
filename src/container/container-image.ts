import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { foreignTrees } from '../image/additional-images.ts'
import type { PullPolicy } from '../image/pull-policy.ts'
import { findImage } from '../image/resolve-name.ts'
import { parseImageConfig } from '../image/select-manifest.ts'
import type { Context } from '../lifecycle/context.ts'
import type { ContainerImage } from './create.ts'

/** A name, digest or id, or surely an id. */
export type ImageChoice = string | { readonly id: string }

/** The image of a new container, pulled first where the policy says so. @throws ERR_IMAGE_NOT_FOUND, and what a pull throws */
export async function imageFor(
  context: Context,
  image: ImageChoice,
  { policy = 'missing', signal }: { readonly policy?: PullPolicy | undefined; readonly signal?: AbortSignal | undefined },
): Promise<ContainerImage> {
  if (typeof image !== 'string' || policy === 'never') return storedImage(context, image)
  if (policy === 'missing') {
    try {
      return storedImage(context, image)
    } catch (error) {
      if (!isPodlibError(error, 'ERR_IMAGE_NOT_FOUND')) throw error
    }
  }
  const { pullImage } = await import('../image/pull.ts')
  const { id } = await pullImage(context, image, { policy: policy === 'missing' ? 'always' : policy, ...(signal && { signal }) })
  return storedImage(context, { id })
}

function storedImage(context: Context, image: ImageChoice): ContainerImage {
  const { row, name, foreign } = findImage(context, typeof image === 'string' ? image : image.id, context.platform)
  const config = parseImageConfig(row.config)
  if (config.os !== 'linux') {
    throw new PodlibError('ERR_PLATFORM_MISMATCH', `image ${name} is for ${config.os}, and podlib runs Linux images only`, {
      details: { image: name, os: config.os },
    })
  }
  const layers = foreign ? foreignTrees(context, foreign) : config.rootfs.diff_ids
  return { id: row.id, name, config, layers, store: foreign?.store }
}
