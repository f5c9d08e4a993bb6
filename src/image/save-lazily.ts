import { Readable } from 'node:stream'
import type { Context } from '../lifecycle/context.ts'
import { lazyOperation, type Operation } from '../util/operation.ts'
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
