import type { KeyObject } from 'node:crypto'
import { checkClaim } from './claim.ts'
import { annotation, COSIGN_ANNOTATIONS, type CosignSignature } from './cosign.ts'
import { type CertificateText, verifyFulcio } from './fulcio.ts'
import { asBase64 } from './json-shape.ts'
import { parsePayload } from './payload.ts'
import { verifyPki } from './pki.ts'
import type { SigstoreSigned } from './policy.ts'
import { spkiOf, verifyWithKey } from './public-key.ts'
import { Rejection } from './rejection.ts'
import { verifyRekorSet } from './rekor.ts'
import { searchKeyBundles } from './sigstore-key-bundle.ts'
import { readSigstoreTrust, type SigstoreTrust } from './sigstore-trust.ts'
import { firstAccepted } from './verdict.ts'
import type { Question, RequirementVerdict, Verifier } from './verifier.ts'
import { parsePemCertificates } from './x509.ts'

/**
 * `sigstoreSigned`: a cosign 2 signature by a key, a Fulcio identity or a certificate of one's own CA.
 *
 * With keys, a bundle of `cosign sign` 3 is accepted as well. It states no image name; that it was found in the
 * repository is what ties it to that. So it counts as naming "this repository, without tag": `matchRepository`,
 * `exactRepository` of this very repository, and by digest `matchRepoDigestOrExact` accept it, everything else
 * does not. Whoever may write to a repository can then put there an image that the same key signed for another
 * one: give keys that sign for several repositories a scope for each, or do not pass `sources.bundles`.
 */
export const sigstoreSignedVerifier: Verifier<SigstoreSigned> = {
  async verify(requirement, question) {
    const trust = await readSigstoreTrust(requirement, question.signal)
    const attachments = await firstAccepted(
      {
        type: requirement.type,
        what: 'sigstore signature',
        collect: question.evidence.cosign,
        check: async (signature, digest) => {
          const { signer, payload } = verifyCosign(signature, trust, question.now)
          const claim = parsePayload(payload, 'cosign container image signature')
          checkClaim(claim, { digest, rule: requirement.signedIdentity, question })
          return `signed by ${signer} as ${claim.dockerReference}`
        },
      },
      question,
    )
    if (attachments.accepted || trust.kind !== 'keys') return attachments
    return merge(attachments, await searchKeyBundles(requirement, trust, question))
  },
}

function merge(attachments: RequirementVerdict, bundles: RequirementVerdict): RequirementVerdict {
  const attempts = [...attachments.attempts, ...bundles.attempts]
  if (bundles.accepted || attachments.attempts.length === 0) return { ...bundles, attempts }
  const reason = bundles.attempts.length === 0 ? attachments.reason : `${attachments.reason}; ${bundles.reason}`
  return { ...attachments, reason, attempts }
}

/** Verifies the signature over the payload, and everything that says whose it is. The payload is only believed afterwards. */
function verifyCosign(cosign: CosignSignature, trust: SigstoreTrust, now: Question['now']): { signer: string; payload: Buffer } {
  const signature = asBase64(annotation(cosign, COSIGN_ANNOTATIONS.signature), COSIGN_ANNOTATIONS.signature)
  const { payload } = cosign
  const key = signingKey(cosign, signature, trust, now)
  if (!key) throw new Rejection('the signature is not one of the policy keys')
  return { signer: describe(trust), payload }
}

function signingKey(cosign: CosignSignature, signature: Buffer, trust: SigstoreTrust, now: Date): KeyObject | undefined {
  const { payload } = cosign
  switch (trust.kind) {
    case 'keys': {
      const key = trust.keys.find((candidate) => verifyWithKey(candidate, payload, signature))
      if (key && trust.rekorKeys.length > 0) {
        const signer = { label: 'PUBLIC KEY', der: spkiOf(key) } as const
        verifyRekorSet(annotation(cosign, COSIGN_ANNOTATIONS.rekorBundle), trust.rekorKeys, { payload, signature, signer })
      }
      return key
    }
    case 'fulcio': {
      const text = certificateOf(cosign)
      const der = parsePemCertificates(text.certificate)[0]?.raw ?? Buffer.alloc(0)
      const logged = { payload, signature, signer: { label: 'CERTIFICATE', der } } as const
      const time = verifyRekorSet(annotation(cosign, COSIGN_ANNOTATIONS.rekorBundle), trust.rekorKeys, logged)
      return verified(verifyFulcio(text, trust.fulcio, time), payload, signature)
    }
    case 'pki':
      return verified(verifyPki(certificateOf(cosign), trust.pki, now), payload, signature)
  }
}

function verified(key: KeyObject, payload: Buffer, signature: Buffer): KeyObject {
  if (!verifyWithKey(key, payload, signature)) throw new Rejection('the signature is not one of its certificate')
  return key
}

function certificateOf(cosign: CosignSignature): CertificateText {
  return { certificate: annotation(cosign, COSIGN_ANNOTATIONS.certificate), chain: cosign.annotations.get(COSIGN_ANNOTATIONS.chain) }
}

function describe(trust: SigstoreTrust): string {
  if (trust.kind === 'keys') return 'a sigstore key of the policy'
  if (trust.kind === 'fulcio') return `${trust.fulcio.subjectEmail} (${trust.fulcio.oidcIssuer})`
  return [trust.pki.subjectEmail, trust.pki.subjectHostname].filter((name) => name !== undefined).join(', ')
}
