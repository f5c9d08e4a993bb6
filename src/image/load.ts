import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Platform } from '../spec/platform.ts'
import { formatReference, parseReference } from '../spec/reference.ts'
import type { ImageSource } from '../transport/image-source.ts'
import { parseTransport } from '../transport/parse-transport.ts'
import type { SignatureSources } from '../trust/sources.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { acquireImage } from './acquire.ts'
import { type ImagePlace, type OpenedImage, withImages } from './open-location.ts'
import { platformOption } from './platform-option.ts'
import { type PullProgress, progressKey, pullProgress } from './progress.ts'

/** @public */
export interface LoadOptions {
  /** Which image of an index. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /**
   * Names to give instead of those in the archive; none at all if empty. They may move from another image, as you say so.
   * Only for one image.
   */
  readonly names?: readonly string[]
  /** Let names in the archive move from images of the store that have them. @defaultValue false: that is an error */
  readonly replaceNames?: boolean
  /** Stops the load. Images that are complete stay. */
  readonly signal?: AbortSignal
}

/** An image that was loaded. */
export interface LoadedImage {
  readonly id: string
  readonly names: readonly string[]
}

const LOAD_OPTIONS: OptionNames<LoadOptions> = { platform: true, names: true, replaceNames: true, signal: true }

/** Loads images from a file, directory or stream. */
export function loadImages(
  context: Context,
  from: string | AsyncIterable<Uint8Array>,
  options: LoadOptions = {},
): Operation<LoadedImage[], PullProgress> {
  return startOperation<LoadedImage[], PullProgress>(async (report) => {
    checkOptions('images.load', options, LOAD_OPTIONS)
    return loadPlace(context, placeOf(from), { ...options, report })
  }, progressKey)
}

export interface LoadPlaceOptions extends LoadOptions {
  readonly report: (progress: PullProgress) => void
  /** Refuse a place with several images. */
  readonly single?: boolean
}

/** Loads the images of a place one after the other; the layers of each come several at a time. */
export async function loadPlace(context: Context, place: ImagePlace, options: LoadPlaceOptions): Promise<LoadedImage[]> {
  const { signal, report, names } = options
  const platform = platformOption(options, context.platform)
  // Without a policy nothing is read.
  await context.trust()
  report({ phase: 'resolve', reference: describePlace(place) })
  const use = async (images: readonly OpenedImage[]) => {
    if (images.length !== 1 && (options.single || (names && names.length > 0))) throw notOne(place, images.length)
    const loaded: LoadedImage[] = []
    for (const { source, identity } of images) {
      const given = names?.map((name) => formatReference(parseReference(name, { defaultRegistry: 'localhost' }))) ?? source.names
      const reference = given[0] ?? describePlace(place)
      const id = await acquireImage(context, {
        source,
        identity,
        signatures: signaturesBeside(source),
        platform,
        names: given,
        replaceNames: names !== undefined || options.replaceNames === true,
        action: 'load',
        durable: true,
        report: (progress) => report(pullProgress(progress, reference)),
        signal,
      })
      loaded.push({ id, names: given })
    }
    return loaded
  }
  return withImages(context, place, { dockerHost: context.dockerHost, signal, use })
}

/** Signatures that lie in files beside an image. */
export function signaturesBeside(source: ImageSource): SignatureSources {
  return 'signatures' in source && source.signatures ? { signatures: source.signatures.bind(source) } : {}
}

function placeOf(from: string | AsyncIterable<Uint8Array>): ImagePlace {
  if (typeof from !== 'string') return { transport: undefined, stream: from }
  return placeOfText(from) ?? { transport: undefined, path: from }
}

/** The place that a text with a transport names; undefined for a registry and for text without one. */
export function placeOfText(text: string): ImagePlace | undefined {
  const location = parseTransport(text)
  return location === undefined || location.transport === 'docker' ? undefined : location
}

function describePlace(place: ImagePlace): string {
  if ('stream' in place) return 'stream'
  if (place.transport === 'docker-daemon') return `docker-daemon:${place.image}`
  if (place.transport === 'containers-storage') return `containers-storage:${place.root ? `[${place.root}]` : ''}${place.image}`
  return place.transport ? `${place.transport}:${place.path}` : place.path
}

/** The error for a place that must have one image. */
export function notOne(place: ImagePlace, count: number): PodlibError {
  const code = count === 0 ? 'ERR_IMAGE_NOT_FOUND' : 'ERR_IMAGE_AMBIGUOUS'
  return new PodlibError(code, `${describePlace(place)} has ${count} images: one is wanted, say which`, { details: { count } })
}
