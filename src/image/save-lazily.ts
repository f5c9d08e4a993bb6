import { Readable } from 'node:stream'
import type { Context } from '../lifecycle/context.ts'
import { lazyOperation, type Operation } from '../util/operation.ts'
import { type PushedImage, type PushImageOptions, type PushProgress, pushProgressKey } from './push/options.ts'
import type { SavedImageInfo, SaveOptions, SaveProgress, SaveStreamOptions } from './save.ts'
import type { ImageChoice } from './saved-manifest.ts'

/** What saving takes is loaded when somebody saves. */
export function saveLazily(
  context: Context,
  names: readonly ImageChoice[],
  options: SaveOptions,
): Operation<SavedImageInfo[], SaveProgress> {
  const load = async () => {
    const { saveImages } = await import('./save.ts')
    return () => saveImages(context, names, options)
  }
  return lazyOperation(load, ({ layer }) => layer)
}

export function saveStreamLazily(context: Context, names: readonly ImageChoice[], options?: SaveStreamOptions): Readable {
  async function* bytes(): AsyncGenerator<Buffer> {
    const { saveImageStream } = await import('./save.ts')
    yield* saveImageStream(context, names, options)
  }
  return Readable.from(bytes(), { objectMode: false })
}

/** A push, given its image and perhaps a destination. */
export interface PushRequest {
  readonly image: ImageChoice
  readonly destination: string | undefined
  readonly options: PushImageOptions | undefined
}

export function pushLazily(context: Context, { image, destination, options }: PushRequest): Operation<PushedImage, PushProgress> {
  const load = async () => {
    const { pushImage } = await import('./push/push.ts')
    return () => pushImage(context, image, destination, options)
  }
  return lazyOperation(load, pushProgressKey)
}
