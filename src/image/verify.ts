import type { Context } from '../lifecycle/context.ts'
import type { Reference } from '../spec/reference.ts'
import { assertTrusted, evaluate } from '../trust/trust.ts'
import type { TrustDecision } from '../trust/verifier.ts'
import type { SelectedManifest } from './select-manifest.ts'
import { signatureSources } from './signature-sources.ts'

/**
 * Asks the policy about the very manifest that will be used.
 *
 * @throws ERR_TRUST_DENIED, ERR_POLICY_MISSING, ERR_POLICY_INVALID
 */
export async function verifyImage(
  context: Context,
  reference: Reference,
  selected: SelectedManifest,
  signal?: AbortSignal,
): Promise<TrustDecision> {
  const { policy } = await context.trust()
  const decision = await evaluate({
    policy,
    identity: { transport: 'docker', reference: forPolicy(reference) },
    manifestDigest: selected.raw.digest,
    ...(selected.index && { indexDigest: selected.index.digest }),
    sources: await signatureSources(context, reference),
    ...(signal && { signal }),
  })
  assertTrusted(decision)
  return decision
}

/** A policy knows a tag or a digest; when both are given the digest is what is pulled. */
function forPolicy(reference: Reference): Reference {
  return reference.digest ? { ...reference, tag: undefined } : reference
}
