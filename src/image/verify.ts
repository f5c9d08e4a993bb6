import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import type { ImageIdentity } from '../trust/scopes.ts'
import type { SignatureSources } from '../trust/sources.ts'
import { assertTrusted, evaluate } from '../trust/trust.ts'
import type { TrustDecision } from '../trust/verifier.ts'

export interface VerifyImageInput {
  readonly identity: ImageIdentity
  readonly manifestDigest: Digest
  readonly indexDigest: Digest | undefined
  readonly sources: SignatureSources
  readonly signal: AbortSignal | undefined
}

/**
 * Asks the policy about the very manifest that will be used.
 *
 * @throws ERR_TRUST_DENIED, ERR_POLICY_MISSING, ERR_POLICY_INVALID
 */
export async function verifyImage(context: Context, input: VerifyImageInput): Promise<TrustDecision> {
  const { policy } = await context.trust()
  const { identity, manifestDigest, indexDigest, sources, signal } = input
  const decision = await evaluate({
    policy,
    identity: forPolicy(identity),
    manifestDigest,
    ...(indexDigest && { indexDigest }),
    sources,
    ...(signal && { signal }),
  })
  assertTrusted(decision)
  return decision
}

/** A policy knows a tag or a digest; when both are given the digest is what is pulled. */
function forPolicy(identity: ImageIdentity): ImageIdentity {
  if (identity.transport !== 'docker' || identity.reference.digest === undefined) return identity
  return { ...identity, reference: { ...identity.reference, tag: undefined } }
}
