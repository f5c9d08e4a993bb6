import { createHash, type KeyObject } from 'node:crypto'
import type { TrustMaterial } from '@sigstore/verify'
import { formatReference } from '../spec/reference.ts'
import { type BundleTrust, verifyBundle } from './bundle.ts'
import { matchesSignedIdentity } from './identity.ts'
import { COSIGN_SIGN_PREDICATE, type SigstoreSigned } from './policy.ts'
import { spkiOf } from './public-key.ts'
import { Rejection } from './rejection.ts'
import type { SigstoreTrust } from './sigstore-trust.ts'
import { checkStatement } from './statement.ts'
import { firstAccepted } from './verdict.ts'
import type { Question, RequirementVerdict } from './verifier.ts'

const END_OF_TIME = new Date(8_640_000_000_000_000)

/** Looks for a bundle of `cosign sign` 3 that satisfies a `sigstoreSigned` requirement with keys. */
export function searchKeyBundles(
  requirement: SigstoreSigned,
  trust: SigstoreTrust & { kind: 'keys' },
  question: Question,
): Promise<RequirementVerdict> {
  const bundleTrust = toBundleTrust(trust)
  return firstAccepted(
    {
      type: requirement.type,
      what: 'sigstore signature',
      collect: question.evidence.bundles,
      check: async (bytes, digest) => {
        const { statement, signer } = await verifyBundle(bytes, bundleTrust)
        checkStatement(statement, { digest, predicateTypes: [COSIGN_SIGN_PREDICATE] })
        return `bundle signed by ${signer}, found in ${checkName(requirement, question)}`
      },
    },
    question,
  )
}

/** All a bundle can say of a name is the repository it was found in: a reference without a tag of its own. */
function checkName(requirement: SigstoreSigned, { reference }: Question): string {
  const rule = requirement.signedIdentity
  if (!reference) throw new Rejection('the bundle states no image name, and the image has none')
  const byDigest = reference.digest !== undefined && rule.type === 'matchRepoDigestOrExact'
  const claim = byDigest ? formatReference(reference) : reference.name
  if (!matchesSignedIdentity(rule, reference, claim)) {
    throw new Rejection(`the bundle states no image name, which ${rule.type} asks for (matchRepository would take its repository)`)
  }
  return reference.name
}

function toBundleTrust({ keys, rekorKeys }: SigstoreTrust & { kind: 'keys' }): BundleTrust {
  const asksLog = rekorKeys.length > 0
  return {
    signer: { keys },
    root: asksLog
      ? { certificateAuthorities: [], timestampAuthorities: [], ctlogs: [], tlogs: rekorKeys.map(toLog), publicKey }
      : undefined,
    thresholds: { tlog: asksLog ? 1 : 0, timestamp: 0, sct: 0 },
    promiseOnly: true,
  }
}

// Bundles signed with a bare key name it by a hint, which is not to be believed: verifyBundle puts the right key in its place.
function publicKey(): never {
  throw new Rejection('the key of the bundle is unknown')
}

function toLog(key: KeyObject): TrustMaterial['tlogs'][number] {
  const logID = createHash('sha256').update(spkiOf(key)).digest()
  return { logID, baseURL: '', publicKey: key, validFor: { start: new Date(0), end: END_OF_TIME } }
}
