import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { recordSources } from '../trust/kept-evidence.ts'
import { TRUST_LIMITS } from '../trust/limits.ts'
import type { ImageIdentity } from '../trust/scopes.ts'
import type { SignatureSources } from '../trust/sources.ts'
import { assertTrusted, evaluateResolved, resolveIdentity } from '../trust/trust.ts'
import type { TrustDecision } from '../trust/verifier.ts'
import type { KeptOrigin } from './kept-signatures.ts'

export interface JudgeImageInput {
  readonly identity: ImageIdentity
  readonly manifestDigest: Digest
  readonly indexDigest: Digest | undefined
  readonly sources: SignatureSources
  readonly signal: AbortSignal | undefined
}

/** What the policy said, and what is to be kept with the image. */
export interface JudgedImage {
  readonly decision: TrustDecision
  readonly origin: KeptOrigin
}

/**
 * Asks the policy about the very manifest that will be used.
 *
 * @throws ERR_POLICY_MISSING, ERR_POLICY_INVALID, ERR_DIGEST_MISMATCH
 */
export async function judgeImage(context: Context, input: JudgeImageInput): Promise<JudgedImage> {
  const { policy } = await context.trust()
  const { manifestDigest, indexDigest, signal } = input
  const identity = await resolveIdentity(forPolicy(input.identity))
  const { sources, answers } = recordSources(input.sources)
  const decision = await evaluateResolved({
    policy,
    identity,
    manifestDigest,
    ...(indexDigest && { indexDigest }),
    sources,
    ...(signal && { signal }),
  })
  // Files beside the image cost no request: like containers/image, they are taken along whatever the policy is.
  const read = answers().some(({ kind, digest }) => kind === 'signatures' && digest === manifestDigest)
  if (decision.accepted && identity.transport === 'dir' && !read) await readAll(sources, manifestDigest, signal)
  return { decision, origin: { identity, indexDigest, answers: answers() } }
}

/** {@link judgeImage}, where a denial is an error. @throws ERR_TRUST_DENIED with the decision */
export async function verifyImage(context: Context, input: JudgeImageInput): Promise<KeptOrigin> {
  const { decision, origin } = await judgeImage(context, input)
  assertTrusted(decision)
  return origin
}

async function readAll({ signatures }: SignatureSources, digest: Digest, signal: AbortSignal | undefined): Promise<void> {
  let count = 0
  try {
    for await (const _ of signatures?.(digest, { maxBytes: TRUST_LIMITS.bytes, signal }) ?? []) {
      count++
      if (count > TRUST_LIMITS.signatures) return
    }
  } catch (error) {
    // The image is accepted without them.
    if (!isPodlibError(error, 'ERR_ARCHIVE_TOO_LARGE')) throw error
  }
}

/** A policy knows a tag or a digest; when both are given the digest is what is pulled. */
function forPolicy(identity: ImageIdentity): ImageIdentity {
  if (identity.transport !== 'docker' || identity.reference.digest === undefined) return identity
  return { ...identity, reference: { ...identity.reference, tag: undefined } }
}
