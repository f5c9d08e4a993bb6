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
import { foreignById } from './additional-images.ts'
import { type KeptOrigin, originKey, readOrigins } from './kept-signatures.ts'

/** @public */
export interface VerifyImageOptions {
  /** Path of a policy.json, or its content. @defaultValue the policy of the runtime */
  readonly policy?: string | object
  /** Makes an error of a denial: ERR_TRUST_DENIED. @defaultValue false */
  readonly throwIfDenied?: boolean
  readonly signal?: AbortSignal
}

/** What a policy says of an image of the store. @public */
export interface ImageVerification {
  /** Whether there is a decision, and each accepts. */
  readonly accepted: boolean
  /** Why it is not accepted although no decision denies it. */
  readonly objection: string | undefined
  /** One for each place that the image came from. */
  readonly decisions: readonly TrustDecision[]
}

/**
 * Asks a policy again about an image of the store, with the signatures that were fetched when it came. No network.
 *
 * An image is judged as what it was pulled or loaded as. Asked for by a name that it was pulled by, that alone counts;
 * otherwise (by id, by a name that was given here) every place that it came from does.
 *
 * @param name - in full, or the id
 */
export async function verifyStored(
  context: Context,
  image: { readonly id: string; readonly name: string },
  options: VerifyImageOptions = {},
): Promise<ImageVerification> {
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
  const objection =
    decisions.length > 0 ? undefined : `nothing is known of where image ${image.id.slice(0, 12)} came from: pull it to have it verified`
  if (throwIfDenied) {
    if (objection !== undefined) throw new PodlibError('ERR_TRUST_DENIED', objection, { details: { imageId: image.id } })
    for (const decision of decisions) assertTrusted(decision)
  }
  return { accepted: objection === undefined && decisions.every(({ accepted }) => accepted), objection, decisions }
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
  if (getImage(context.db, id) === undefined && foreignById(context, id) === undefined)
    throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
  const all = [...latest.values()]
  const named = all.filter(({ origin: { identity } }) => identity.transport === 'docker' && formatReference(identity.reference) === name)
  return named.length > 0 ? named : all
}

/** A registry has all kinds, a directory has files, and archives have no signatures. */
function kindsOf({ identity: { transport } }: KeptOrigin): readonly KeptAnswer['kind'][] {
  if (transport === 'docker') return ['signatures', 'attachment', 'bundles']
  return transport === 'dir' ? ['signatures'] : []
}
