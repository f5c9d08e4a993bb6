import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { forgetRefused } from '../lifecycle/lost-layers.ts'
import { digestHex } from '../spec/digest.ts'
import type { Platform } from '../spec/platform.ts'
import type { ImageSource } from '../transport/image-source.ts'
import type { ImageIdentity } from '../trust/scopes.ts'
import type { SignatureSources } from '../trust/sources.ts'
import { crashPoint } from '../util/crash-point.ts'
import { fetchLayers, type LayerProgress } from './fetch-layers.ts'
import { describeImage, type ImagePlan } from './image-plan.ts'
import type { KeptOrigin } from './kept-signatures.ts'
import { assertNamesFree, type StoreImageInput, storeImage } from './store-image.ts'
import { verifyImage } from './verify.ts'

/** What bringing an image into the store is at. Layers report for themselves, several at a time. */
export type AcquireProgress = { readonly phase: 'manifest' | 'verify' | 'commit' } | LayerProgress

/** An image on its way into the store. */
export interface AcquireRequest {
  readonly source: ImageSource
  /** What the policy knows it as. */
  readonly identity: ImageIdentity
  readonly signatures: SignatureSources
  readonly platform: Platform
  /** Full names that lead to it from then on. */
  readonly names: readonly string[]
  /** Whether a name may be taken from another image. */
  readonly replaceNames: boolean
  readonly action: 'pull' | 'load'
  /** See {@link StoreImageInput.durable}. */
  readonly durable: boolean
  readonly report: (progress: AcquireProgress) => void
  readonly signal: AbortSignal | undefined
}

/** A layer can vanish between the look and the commit when another process removes the image that it was found in. */
const COMMIT_ATTEMPTS = 3

/** The one way by which images come into the store, wherever they are from. Resolves to the image's id. */
export async function acquireImage(context: Context, request: AcquireRequest): Promise<string> {
  const signal = request.signal ? AbortSignal.any([request.signal, context.closing]) : context.closing
  const work = acquire(context, { ...request, signal })
  // A runtime that is closed meanwhile is closed when nothing of it is left.
  context.background.add(work)
  return work
}

async function acquire(context: Context, request: AcquireRequest): Promise<string> {
  const { source, identity, signatures, platform, report, signal } = request
  // 1. the policy first: without one nothing is read
  await context.trust()
  // 2. the manifest for the platform
  report({ phase: 'manifest' })
  const { manifestDigest, indexDigest, plan } = await describeImage(source, platform, signal)
  // 3. the policy says whether this very manifest may be used
  report({ phase: 'verify' })
  crashPoint('pull: manifest')
  const origin = await verifyImage(context, { identity, manifestDigest, indexDigest, sources: signatures, signal })
  // 4. the config, small and checked, 5. the layers that are missing, and 6. the image
  return storePlan(context, await plan(signal), { ...request, origin })
}

type StorePlanRequest = Pick<AcquireRequest, 'names' | 'replaceNames' | 'durable' | 'report' | 'signal'> & {
  readonly action: AcquireRequest['action'] | 'import' | 'build'
  /** Nothing made here came from anywhere. */
  readonly origin?: KeptOrigin
}

/** Fetches the layers of a plan and stores the image. */
export async function storePlan(context: Context, plan: ImagePlan, request: StorePlanRequest): Promise<string> {
  const { names, replaceNames, durable, report, action, origin, signal } = request
  if (plan.configDigest && !replaceNames) assertNamesFree(context, names, digestHex(plan.configDigest))
  for (let attempt = 1; ; attempt++) {
    const fetched = fetchLayers(context, { layers: plan.layers, durable, report, signal })
    const stored = await fetched.catch((error: unknown) => forgetRefused(context, error))
    report({ phase: 'commit' })
    crashPoint('pull: layers ready')
    try {
      const id = await storeImage(context, { ...plan.complete(stored), names, replaceNames, action, durable, ...(origin && { origin }) })
      crashPoint('pull: committed')
      return id
    } catch (error) {
      if (attempt === COMMIT_ATTEMPTS || !isPodlibError(error, 'ERR_LAYER_NOT_FOUND')) throw error
    }
  }
}
