import type { Digest } from '../spec/digest.ts'
import { matchesSignedIdentity } from './identity.ts'
import type { SignedClaim } from './payload.ts'
import type { SignedIdentity } from './policy.ts'
import { quote, Rejection } from './rejection.ts'
import type { Question } from './verifier.ts'

/** Checks that a verified claim is about this digest and about a name the policy accepts. */
export function checkClaim(claim: SignedClaim, expected: { digest: Digest; rule: SignedIdentity; question: Question }): void {
  const { digest, rule, question } = expected
  if (claim.manifestDigest !== digest) throw new Rejection(`it signs ${claim.manifestDigest}, not ${digest}`)
  if (!matchesSignedIdentity(rule, question.reference, claim.dockerReference)) {
    throw new Rejection(`it signs the name ${quote(claim.dockerReference)}, which ${rule.type} does not accept`)
  }
}
