import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { flushImages } from '../lifecycle/flush-images.ts'
import { resolveShortName } from '../registry/endpoints.ts'
import { formatReference, isShortName, parseReference, type Reference } from '../spec/reference.ts'
import { getImageName } from '../state/image-name-table.ts'
import { hasLostLayers, listImageManifests } from '../state/image-table.ts'
import { parseTransport } from '../transport/parse-transport.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { acquireImage } from './acquire.ts'
import { type LoadedImage, type LoadOptions, loadPlace, placeOfText } from './load.ts'
import { platformOption } from './platform-option.ts'
import { type PullProgress, progressKey, pullProgress } from './progress.ts'
import { checkPullPolicy, type PullPolicy } from './pull-policy.ts'
import { registrySource } from './registry-source.ts'
import { type FoundImage, findImage } from './resolve-name.ts'
import { signatureSources } from './signature-sources.ts'

/** @public */
export interface PullOptions extends Omit<LoadOptions, 'signal'> {
  /** @defaultValue `'always'` */
  readonly policy?: PullPolicy
  /**
   * Resolve only when the image is on the disk. Else it gets there in the background, at the latest when the runtime is
   * closed, and a power cut before takes it as a whole: what can be fetched again is worth no waiting. @defaultValue false
   */
  readonly durable?: boolean
  /** Stops the pull. Layers that are complete stay for the next one; nothing else does. */
  readonly signal?: AbortSignal
}

const PULL_OPTIONS: OptionNames<PullOptions> = {
  policy: true,
  durable: true,
  platform: true,
  names: true,
  replaceNames: true,
  signal: true,
}

/** The image that a name or place led to, with its full name, or its id if it has none. */
export interface PulledImage {
  readonly id: string
  readonly name: string
}

/** Pulls an image. */
export function pullImage(context: Context, name: string, options: PullOptions = {}): Operation<PulledImage, PullProgress> {
  return startOperation<PulledImage, PullProgress>(async (report) => pullByPolicy(context, name, options, report), progressKey)
}

type Report = (progress: PullProgress) => void

async function pullByPolicy(context: Context, text: string, options: PullOptions, report: Report): Promise<PulledImage> {
  checkOptions('images.pull', options, PULL_OPTIONS)
  const { policy = 'always', durable, ...rest } = options
  checkPullPolicy(policy)
  report({ phase: 'resolve', reference: text })
  const place = placeOfText(text)
  if (place) {
    const [loaded] = (await loadPlace(context, place, { ...rest, report, single: true })) as [LoadedImage]
    return { id: loaded.id, name: loaded.names[0] ?? loaded.id }
  }
  const location = parseTransport(text)
  const name = location?.transport === 'docker' ? location.reference : text
  const local = policy === 'always' ? undefined : findLocal(context, name, rest)
  // It can be on its way to the disk.
  if (durable && local !== undefined) await flushImages(context)
  if (local !== undefined && policy !== 'newer') return local
  // Says what is missing, and where it was looked for.
  if (policy === 'never') return foundImage(findImage(context, name, platformOption(options, context.platform)))
  return pullFirst(context, name, { ...rest, ...(durable && { durable }), known: local }, report)
}

function foundImage({ row, name }: FoundImage): PulledImage {
  return { id: row.id, name }
}

function findLocal(context: Context, name: string, options: PullOptions): PulledImage | undefined {
  try {
    const platform = platformOption(options, context.platform)
    const found = findImage(context, name, platform)
    const { id, os, architecture } = found.row
    if (hasLostLayers(context.db, id)) return undefined
    return options.platform === undefined || (os === platform.os && architecture === platform.architecture) ? foundImage(found) : undefined
  } catch (error) {
    if (isPodlibError(error, 'ERR_IMAGE_NOT_FOUND')) return undefined
    throw error
  }
}

interface PullFirstOptions extends Omit<PullOptions, 'policy'> {
  /** The image of the store that is good enough unless the registry has another by now. */
  readonly known: PulledImage | undefined
}

async function pullFirst(context: Context, name: string, options: PullFirstOptions, report: Report): Promise<PulledImage> {
  return firstThatExists(context, name, async (reference) => {
    if (options.known !== undefined && (await isCurrent(context, reference, options.known.id, options.signal))) return options.known
    return pullReference(context, reference, options, report)
  })
}

/** A short name can mean several images: the first that exists is it. */
export async function firstThatExists<Result>(
  context: Context,
  name: string,
  use: (reference: Reference) => Promise<Result>,
): Promise<Result> {
  const candidates = await candidatesFor(context, name)
  for (const [index, reference] of candidates.entries()) {
    try {
      return await use(reference)
    } catch (error) {
      if (index === candidates.length - 1 || !isPodlibError(error) || error.kind !== 'not-found') throw error
    }
  }
  throw new PodlibError('ERR_SHORT_NAME', `'${name}' names no registry`, { details: { reference: name } })
}

async function candidatesFor(context: Context, name: string): Promise<readonly Reference[]> {
  if (!isShortName(name)) return [parseReference(name)]
  return resolveShortName(await context.registriesConf(), name).candidates.map((candidate) => parseReference(candidate))
}

/** Whether the registry still leads to the image that has this name here. A request that registries do not count. */
async function isCurrent(context: Context, reference: Reference, id: string, signal: AbortSignal | undefined): Promise<boolean> {
  const named = getImageName(context.db, formatReference(reference)).find((row) => row.imageId === id)
  if (named === undefined) return false
  const registry = await context.registry()
  const { digest } = await registry.headManifest(reference, { ...(signal && { signal }) })
  if (digest === undefined) return false
  return listImageManifests(context.db, id).some((row) => row.digest === digest || row.indexDigest === digest)
}

async function pullReference(context: Context, reference: Reference, options: PullFirstOptions, report: Report): Promise<PulledImage> {
  const { names, signal } = options
  const own = formatReference(reference)
  const given = names?.map((name) => formatReference(parseReference(name, { defaultRegistry: 'localhost' }))) ?? [own]
  const id = await acquireImage(context, {
    source: await registrySource(context, reference),
    identity: { transport: 'docker', reference },
    signatures: await signatureSources(context, reference),
    platform: platformOption(options, context.platform),
    names: given,
    replaceNames: true,
    action: 'pull',
    durable: options.durable === true,
    report: (progress) => report(pullProgress(progress, own)),
    signal,
  })
  return { id, name: given[0] ?? id }
}
