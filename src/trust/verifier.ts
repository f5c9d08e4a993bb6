import type { Digest } from '../spec/digest.ts'
import type { Reference } from '../spec/reference.ts'
import type { Evidence } from './evidence.ts'
import type { GpgOptions } from './gpg.ts'
import type { Requirement } from './policy.ts'
import type { PolicyScope } from './scopes.ts'

/*
 * How trust is decided, and what everyone has to bring.
 *
 * The caller of `evaluate` brings a policy, the name of the image, the digest of its manifest (proven from the
 * bytes), and functions that fetch signatures. Trust never opens a connection and never learns of registries.
 * It answers with a `TrustDecision`; `assertTrusted` makes an error of a denial.
 *
 * What is promised:
 * - Only the requirements of the most specific scope apply, and all of them must allow. Each is judged on its own
 *   kind of signature: a broken bundle is never made good by an old attachment, unless the policy asks for that.
 * - A signature counts for the manifest that will be used, or for the index through which it was selected: whoever
 *   signed the index signed the choice of every manifest in it. The verdict says which of the two it was.
 * - The signature covers the manifest. Config and layers are covered through the digests inside it, so the caller
 *   must check those, and must use these very bytes: asking for the tag again may give another image.
 * - Number and size of everything fetched are bounded (`TRUST_LIMITS`); beyond a bound nothing of that kind counts.
 * - Who controls the place signatures come from can withhold them or bring back old ones, but cannot make one.
 *
 * Names and sigstore bundles: a bundle of `cosign sign` 3 states a digest, but no image name. All that ties it to
 * a name is that it was found beside the image in its repository, which whoever may write there decides. It
 * therefore satisfies a name rule only as "this repository, no tag": see `sigstoreSignedVerifier`.
 */

/** One piece of evidence that did not satisfy a requirement. @public */
export interface Attempt {
  readonly digest: Digest
  readonly reason: string
}

/** What one requirement said. @public */
export interface RequirementVerdict {
  readonly type: Requirement['type']
  readonly accepted: boolean
  readonly reason: string
  /** The digest whose signature was verified: of the manifest or of the index. Undefined when none was. */
  readonly verifiedDigest: Digest | undefined
  readonly attempts: readonly Attempt[]
}

/** What the policy said, in full. Plain data, fit for a log. @public */
export interface TrustDecision {
  readonly accepted: boolean
  /** The image in words. */
  readonly image: string
  /** The policy's file or what else it is called. */
  readonly policy: string
  readonly scope: PolicyScope
  readonly manifestDigest: Digest
  readonly indexDigest: Digest | undefined
  /** Whether at least one requirement verified a signature. */
  readonly signed: boolean
  /** Why it was refused although every requirement allowed it, if so. */
  readonly objection: string | undefined
  readonly requirements: readonly RequirementVerdict[]
}

/** What a verifier gets to see of one image. */
export interface Question {
  /** The name asked for, where the transport has names. */
  readonly reference: Reference | undefined
  /** Digests of which one must be signed: the manifest's first, then that of the index it was selected through. */
  readonly digests: readonly Digest[]
  readonly evidence: Evidence
  readonly gpg: GpgOptions
  /** The time certificates of one's own CA must be valid at. */
  readonly now: Date
  readonly signal: AbortSignal | undefined
}

/**
 * Judges one kind of requirement. It resolves to a verdict for everything a stranger can bring about, and rejects
 * only when it could not judge: key file gone, program missing, source unreachable, aborted.
 */
export interface Verifier<Kind extends Requirement = Requirement> {
  verify(requirement: Kind, question: Question): Promise<RequirementVerdict>
}
