import { checkClaim } from './claim.ts'
import { type Keyring, type KeyringSource, withKeyring } from './gpg.ts'
import { readMaterial } from './material.ts'
import { parsePayload } from './payload.ts'
import type { SignedBy } from './policy.ts'
import { Rejection } from './rejection.ts'
import { firstAccepted, type Search } from './verdict.ts'
import type { Question, Verifier } from './verifier.ts'

/**
 * `signedBy`: an OpenPGP message, signed by one of the keys, whose content names this manifest and an accepted
 * image name.
 *
 * @see man 5 containers-signature
 */
export const signedByVerifier: Verifier<SignedBy> = {
  async verify(requirement, question) {
    const keys = await readKeys(requirement, question)
    const search = (check: Search<Buffer>['check']) =>
      firstAccepted({ type: requirement.type, what: 'OpenPGP signature', collect: question.evidence.simple, check }, question)
    const collected = await Promise.all(question.digests.map((digest) => question.evidence.simple(digest)))
    // Without a message there is nothing for gpg to do, and an unsigned image should not need gpg to be refused.
    if (collected.every(({ items }) => items.length === 0)) return search(noMessages)
    return withKeyring(keys, { ...question.gpg, signal: question.signal }, (keyring) => search(checkWith(keyring, requirement, question)))
  },
}

async function readKeys({ keys }: SignedBy, { signal }: Question): Promise<readonly KeyringSource[]> {
  const sources: KeyringSource[] = []
  for (const material of keys) sources.push({ material, bytes: await readMaterial(material, signal) })
  return sources
}

function checkWith(keyring: Keyring, requirement: SignedBy, question: Question): Search<Buffer>['check'] {
  return async (message, digest) => {
    const { payload, fingerprint } = await keyring.verify(message)
    const claim = parsePayload(payload, 'atomic container signature')
    checkClaim(claim, { digest, rule: requirement.signedIdentity, question })
    return `signed by OpenPGP key ${fingerprint} as ${claim.dockerReference}`
  }
}

function noMessages(): never {
  throw new Rejection('there was no message')
}
