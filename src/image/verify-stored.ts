import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { formatReference } from '../spec/reference.ts'
import { getImage, listImageManifests } from '../state/image-table.ts'
import { type KeptAnswer, replaySources } from '../trust/kept-evidence.ts'
import type { Policy } from '../trust/policy.ts'
import { loadPolicy } from '../trust/policy-file.ts'
import { parsePolicy } from '../trust/policy-parse.ts'
import { assertTrusted, evaluateResolved } from '../trust/trust.ts'
import type { TrustDecision } from '../trust/verifier.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { foreignById } from './additional-images.ts'
import { type KeptOrigin, originKey, readOrigins } from './kept-signatures.ts'
import { type LayerProof, proveLayers } from './prove-layers.ts'
import { storedIdentity } from './stored-elsewhere.ts'

/** @public */
export interface VerifyImageOptions {
  /** Path of a policy.json, or its content. @defaultValue the policy of the runtime */
  readonly policy?: string | object
  /** Makes an error of a denial: ERR_TRUST_DENIED. @defaultValue false */
  readonly throwIfDenied?: boolean
  /**
   * Also reads every layer and proves that it is what the image says, which takes as long as saving it. A layer of the own store
   * was proven when it came; one of an additional store only by whoever put it there. @defaultValue false
   */
  readonly layers?: boolean
  readonly signal?: AbortSignal
}

/** What a policy says of an image of the store. @public */
export interface ImageVerification {
  /** Whether there is a decision, and each accepts, and no layer was found to be another. */
  readonly accepted: boolean
  /** Why it is not accepted although no decision denies it. */
  readonly objection: string | undefined
  /** One for each place that the image came from. */
  readonly decisions: readonly TrustDecision[]
  /** Bottom first; undefined unless it was asked for. */
  readonly layers: readonly LayerProof[] | undefined
}

const VERIFY_OPTIONS: OptionNames<VerifyImageOptions> = { policy: true, throwIfDenied: true, layers: true, signal: true }

/**
 * Asks a policy again about an image of the store, with the signatures that were fetched when it came. No network.
 *
 * An image is judged as what it was pulled or loaded as. Asked for by a name that it was pulled by, that alone counts;
 * otherwise (by id, by a name that was given here) every place that it came from does. One of an additional store is judged as
 * what a pull from there would be: `containers-storage`.
 *
 * @param name - in full, or the id
 */
export async function verifyStored(
  context: Context,
  image: { readonly id: string; readonly name: string },
  options: VerifyImageOptions = {},
): Promise<ImageVerification> {
  checkOptions('images.verify', options, VERIFY_OPTIONS)
  const { signal, throwIfDenied = false } = options
  signal?.throwIfAborted()
  const policy = await policyOf(context, options)
  const decisions: TrustDecision[] = []
  for (const { digest, origin } of originsOf(context, image)) {
    const { identity, indexDigest, answers } = origin
    const sources = replaySources(answers, kindsOf(origin))
    const index = indexDigest && { indexDigest }
    decisions.push(await evaluateResolved({ policy, identity, manifestDigest: digest, ...index, sources, ...(signal && { signal }) }))
  }
  const layers = options.layers ? await proveLayers(context, { id: image.id, foreign: foreignById(context, image.id) }, signal) : undefined
  const objection =
    decisions.length > 0 ? undefined : `nothing is known of where image ${image.id.slice(0, 12)} came from: pull it to have it verified`
  if (throwIfDenied) {
    if (objection !== undefined) throw new PodlibError('ERR_TRUST_DENIED', objection, { details: { imageId: image.id } })
    for (const decision of decisions) assertTrusted(decision)
    for (const layer of layers ?? []) assertIntact(image.id, layer)
  }
  const proven = layers?.every(({ intact }) => intact) ?? true
  return { accepted: proven && objection === undefined && decisions.every(({ accepted }) => accepted), objection, decisions, layers }
}

function assertIntact(imageId: string, { diffId, problem }: LayerProof): void {
  if (problem === undefined) return
  throw new PodlibError('ERR_STORE_CORRUPT', `layer ${diffId} of image ${imageId.slice(0, 12)} is not what the image says: ${problem}`, {
    details: { imageId, diffId },
  })
}

async function policyOf(context: Context, { policy, signal }: VerifyImageOptions): Promise<Policy> {
  if (policy === undefined) return (await context.trust()).policy
  return typeof policy === 'string' ? loadPolicy({ path: policy, ...(signal && { signal }) }) : parsePolicy(policy)
}

interface ManifestOrigin {
  readonly digest: Digest
  readonly origin: KeptOrigin
}

function originsOf(context: Context, { id, name }: { readonly id: string; readonly name: string }): ManifestOrigin[] {
  // One image can have come from a place several times, by several manifests: the last is what the place says now.
  const latest = new Map<string, ManifestOrigin>()
  for (const { digest, signatures } of listImageManifests(context.db, id))
    for (const origin of readOrigins(signatures)) latest.set(originKey(origin), { digest, origin })
  if (getImage(context.db, id) === undefined) {
    const foreign = foreignById(context, id)
    if (foreign === undefined) throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
    const identity = storedIdentity(foreign, foreign.names.includes(name) ? name : undefined)
    return [{ digest: foreign.manifest.digest, origin: { identity, indexDigest: undefined, answers: [] } }]
  }
  const all = [...latest.values()]
  const named = all.filter(({ origin: { identity } }) => identity.transport === 'docker' && formatReference(identity.reference) === name)
  return named.length > 0 ? named : all
}

/** A registry has all kinds, a directory has files, and archives have no signatures. */
function kindsOf({ identity: { transport } }: KeptOrigin): readonly KeptAnswer['kind'][] {
  if (transport === 'docker') return ['signatures', 'attachment', 'bundles']
  return transport === 'dir' ? ['signatures'] : []
}
