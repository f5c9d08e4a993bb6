import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { resolveShortName } from '../registry/endpoints.ts'
import type { Digest } from '../spec/digest.ts'
import { type Platform, parsePlatform } from '../spec/platform.ts'
import { formatReference, isShortName, parseReference, type Reference } from '../spec/reference.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { fetchLayers } from './fetch-layers.ts'
import { fetchConfig, selectManifest } from './select-manifest.ts'
import { storeImage } from './store-image.ts'
import { verifyImage } from './verify.ts'

/** @public */
export interface PullOptions {
  /** `linux/arm64/v8` or its parts. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /** Stops the pull. Layers that are complete stay for the next one; nothing else does. */
  readonly signal?: AbortSignal
}

/**
 * What a pull is at. Layers report for themselves, several at a time.
 *
 * @public
 */
export type PullProgress =
  | { readonly phase: 'resolve' | 'manifest' | 'verify' | 'commit'; readonly reference: string }
  | {
      /** `exists`: it was in the store; `ready`: it is now. */
      readonly phase: 'download' | 'exists' | 'ready'
      /** Digest of the layer's blob. */
      readonly layer: Digest
      /** Of the blob, read so far. */
      readonly bytes: number
      readonly totalBytes: number
      /** Of the uncompressed layer, written so far. */
      readonly unpackedBytes: number
    }

/** A layer can vanish between the look and the commit when another process removes the image that it was found in. */
const COMMIT_ATTEMPTS = 3

/** Pulls an image and resolves to its id. */
export function pullImage(context: Context, name: string, options: PullOptions = {}): Operation<string, PullProgress> {
  return startOperation<string, PullProgress>(
    async (report) => pullFirst(context, name, options, report),
    (progress) => ('layer' in progress ? progress.layer : progress.phase),
  )
}

type Report = (progress: PullProgress) => void

/** A short name can mean several images: the first that exists is it. */
async function pullFirst(context: Context, name: string, options: PullOptions, report: Report): Promise<string> {
  report({ phase: 'resolve', reference: name })
  const candidates = await candidatesFor(context, name)
  for (const [index, reference] of candidates.entries()) {
    try {
      return await pullReference(context, reference, options, report)
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

async function pullReference(context: Context, reference: Reference, options: PullOptions, report: Report): Promise<string> {
  const { signal } = options
  const name = formatReference(reference)
  const platform = platformOf(options, context.platform)
  // 1. the policy first: without one nothing is fetched
  await context.trust()
  // 2. the manifest for the platform
  report({ phase: 'manifest', reference: name })
  const selected = await selectManifest(context, reference, platform, signal)
  // 3. the policy says whether this very manifest may be used
  report({ phase: 'verify', reference: name })
  await verifyImage(context, reference, selected, signal)
  // 4. the config, small and checked
  const { bytes: configBytes, config } = await fetchConfig(context, { target: reference, selected, platform, signal })
  // 5. the layers that are missing, and 6. the image
  const layers = selected.manifest.layers.map((blob, position) => ({ blob, diffId: config.rootfs.diff_ids[position] as Digest }))
  for (let attempt = 1; ; attempt++) {
    await fetchLayers(context, { target: reference, endpoint: selected.raw.endpoint, layers, report, signal })
    report({ phase: 'commit', reference: name })
    try {
      return await storeImage(context, { ...selected, config, configBytes, names: [name], action: 'pull' })
    } catch (error) {
      if (attempt === COMMIT_ATTEMPTS || !isPodlibError(error, 'ERR_LAYER_NOT_FOUND')) throw error
    }
  }
}

export function platformOf({ platform }: { readonly platform?: string | Platform }, host: Platform): Platform {
  return typeof platform === 'string' ? parsePlatform(platform) : (platform ?? host)
}
