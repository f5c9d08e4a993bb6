import { realpath } from 'node:fs/promises'
import { PodlibError } from '../errors/errors.ts'
import { type Digest, digestMismatch } from '../spec/digest.ts'
import { formatReference, type Reference } from '../spec/reference.ts'
import { evidenceFrom } from './evidence.ts'
import type { GpgOptions } from './gpg.ts'
import type { Policy, Requirement, Requirements } from './policy.ts'
import { type ImageIdentity, type PolicyScope, requirementsFor } from './scopes.ts'
import { sigstoreSignedVerifier } from './sigstore.ts'
import { sigstoreBundleVerifier } from './sigstore-bundle.ts'
import { signedByVerifier } from './simple-signing.ts'
import type { SignatureSources } from './sources.ts'
import { plainVerdict } from './verdict.ts'
import type { Question, RequirementVerdict, TrustDecision } from './verifier.ts'

/** What {@link evaluate} is asked. @public */
export interface TrustRequest {
  readonly policy: Policy
  readonly identity: ImageIdentity
  /** Digest of the manifest that will be used, computed from its bytes. */
  readonly manifestDigest: Digest
  /**
   * Digest of the index through which the manifest was selected, computed from its bytes. The caller vouches that
   * this index lists the manifest; a valid signature of it then counts as one of the manifest.
   */
  readonly indexDigest?: Digest
  readonly sources: SignatureSources
  /** Refuse an image for which no signature was verified, whatever the policy says. */
  readonly requireSignature?: boolean
  readonly gpg?: GpgOptions
  /** Stands in for the clock where certificates of one's own CA are checked. */
  readonly now?: Date
  readonly signal?: AbortSignal
}

/**
 * Asks a policy about an image: every requirement of the most specific scope must allow it. Denial is an answer,
 * not an error; it rejects only where no answer was possible (key file or program missing, source unreachable,
 * aborted). An abort leaves nothing behind.
 *
 * @throws ERR_DIGEST_MISMATCH when the image was asked for by a digest that is neither of the two
 * @throws ERR_POLICY_INVALID, ERR_PROGRAM_MISSING, and whatever the sources reject with
 * @public
 */
export async function evaluate(request: TrustRequest): Promise<TrustDecision> {
  request.signal?.throwIfAborted()
  return evaluateResolved({ ...request, identity: await resolveIdentity(request.identity) })
}

/** {@link evaluate} for an identity whose path was resolved when the image lay there. */
export async function evaluateResolved(request: TrustRequest): Promise<TrustDecision> {
  const { policy, identity, manifestDigest, indexDigest, sources, signal } = request
  signal?.throwIfAborted()
  const reference = 'reference' in identity ? identity.reference : undefined
  const digests = indexDigest === undefined || indexDigest === manifestDigest ? [manifestDigest] : [manifestDigest, indexDigest]
  const image = describeIdentity(identity)
  if (reference?.digest !== undefined && !digests.includes(reference.digest)) throw digestMismatch(reference.digest, manifestDigest, image)
  const { scope, requirements } = requirementsFor(policy, identity)
  const verdicts = await judge(requirements, {
    reference,
    digests,
    evidence: evidenceFrom(sources, signal),
    gpg: request.gpg ?? {},
    now: request.now ?? new Date(),
    signal,
  })
  const signed = verdicts.some((verdict) => verdict.verifiedDigest !== undefined)
  const objection = objectionTo(verdicts, request.requireSignature === true && !signed)
  const accepted = objection === undefined && verdicts.every((verdict) => verdict.accepted)
  return { accepted, image, policy: policy.source, scope, manifestDigest, indexDigest, signed, objection, requirements: verdicts }
}

/** @throws ERR_TRUST_DENIED with the decision in its details, unless it is an acceptance @public */
export function assertTrusted(decision: TrustDecision): void {
  if (decision.accepted) return
  const refused = decision.requirements.filter((verdict) => !verdict.accepted).map(({ type, reason }) => `${type}: ${reason}`)
  const reasons = [...(decision.objection === undefined ? [] : [decision.objection]), ...refused]
  throw new PodlibError(
    'ERR_TRUST_DENIED',
    `${decision.image} is refused by ${describeScope(decision.scope)} of the signature policy ${decision.policy}: ${reasons.join('; ')}`,
    { details: { decision } },
  )
}

async function judge(requirements: Requirements, question: Question): Promise<readonly RequirementVerdict[]> {
  const verdicts: RequirementVerdict[] = []
  for (const requirement of requirements) {
    question.signal?.throwIfAborted()
    const verdict = await judgeOne(requirement, question)
    verdicts.push(verdict)
    // The rest could not change the answer; judging them would only fetch for strangers.
    if (!verdict.accepted) break
  }
  return verdicts
}

function judgeOne(requirement: Requirement, question: Question): Promise<RequirementVerdict> {
  switch (requirement.type) {
    case 'insecureAcceptAnything':
      return Promise.resolve(plainVerdict(requirement.type, true, 'the policy accepts any image here'))
    case 'reject':
      return Promise.resolve(plainVerdict(requirement.type, false, 'the policy rejects every image here'))
    case 'signedBy':
      return signedByVerifier.verify(requirement, question)
    case 'sigstoreSigned':
      return sigstoreSignedVerifier.verify(requirement, question)
    case 'sigstoreBundle':
      return sigstoreBundleVerifier.verify(requirement, question)
    default:
      // signedBaseLayer was never implemented by anyone, and whatever else an untyped caller hands in is no consent.
      return Promise.resolve(plainVerdict(requirement.type, false, `${String(requirement.type)} requirements are not supported`))
  }
}

function objectionTo(verdicts: readonly RequirementVerdict[], lacksSignature: boolean): string | undefined {
  if (verdicts.length === 0) return 'the policy has no requirement here, which accepts nothing'
  return lacksSignature && verdicts.every((verdict) => verdict.accepted)
    ? 'a signature is required, but the policy asks for none'
    : undefined
}

/** Follows symbolic links: a policy is asked about where an image is, and not about a link that somebody may have made. */
export async function resolveIdentity(identity: ImageIdentity): Promise<ImageIdentity> {
  if (identity.transport !== 'dir' && identity.transport !== 'oci' && identity.transport !== 'oci-archive') return identity
  return { ...identity, path: await realpath(identity.path) }
}

function describeIdentity(identity: ImageIdentity): string {
  const { transport } = identity
  if (transport === 'docker') return `image ${formatReference(identity.reference)}`
  if (transport === 'containers-storage') return `image ${storageName(identity)}`
  return `image ${transport}:${transport === 'docker-daemon' ? identity.image : identity.path}`
}

function storageName(identity: { driver: string; root: string; reference?: Reference; imageId?: string }): string {
  const name = identity.reference ? formatReference(identity.reference) : ''
  return `containers-storage:[${identity.driver}@${identity.root}]${name}${identity.imageId === undefined ? '' : `@${identity.imageId}`}`
}

function describeScope({ transport, scope }: PolicyScope): string {
  if (transport === undefined) return 'the default'
  return scope === '' ? `the default for ${transport}` : `scope ${JSON.stringify(scope)} of ${transport}`
}
