import { PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import { type Operation, startOperation } from '../../util/operation.ts'
import { checkOptions, type OptionNames } from '../../util/options.ts'
import { type DestinationPlace, parseDestination } from '../copy/destination.ts'
import { platformOption } from '../platform-option.ts'
import { type ImageChoice, type ImageToSave, imagesToSave } from '../saved-manifest.ts'
import { pushElsewhere } from './elsewhere.ts'
import { type PushedImage, type PushImageOptions, type PushProgress, pushProgressKey } from './options.ts'
import { pushToRegistry } from './registry.ts'
import { assertWish } from './wish.ts'

const PUSH_OPTIONS: OptionNames<PushImageOptions> = {
  compression: true,
  format: true,
  platform: true,
  credential: true,
  signatures: true,
  signal: true,
}

/** Pushes an image of the store. */
export function pushImage(
  context: Context,
  choice: ImageChoice,
  to?: string,
  options: PushImageOptions = {},
): Operation<PushedImage, PushProgress> {
  return startOperation<PushedImage, PushProgress>(async (report) => {
    checkOptions('images.push', options, PUSH_OPTIONS)
    assertWish(options)
    const signal = options.signal ? AbortSignal.any([options.signal, context.closing]) : context.closing
    signal.throwIfAborted()
    const [image] = imagesToSave(context, [choice], platformOption(options, context.platform)) as [ImageToSave]
    const place = to === undefined ? ownPlace(image) : parseDestination(to)
    const work =
      place.transport === 'docker'
        ? pushToRegistry(context, { image, reference: place.reference, options, report, signal })
        : pushElsewhere(context, { image, place, options, report, signal })
    // A runtime that is closed meanwhile is closed when nothing of it is left.
    context.background.add(work)
    return work
  }, pushProgressKey)
}

function ownPlace({ names, row }: ImageToSave): DestinationPlace {
  const [name] = names
  if (name !== undefined) return parseDestination(name)
  throw new PodlibError('ERR_INVALID_ARGUMENT', `image ${row.id.slice(0, 12)} is not called by a name: say where it is to be pushed`, {
    details: { imageId: row.id },
  })
}
