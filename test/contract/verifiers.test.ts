import { afterAll, beforeAll } from '@jest/globals'
import { lacking } from '../helpers/abilities.ts'
import { type GpgSigner, openGpgSigner } from '../helpers/gpg-signer.ts'
import { cosignPayload, signBundle, signCosign } from '../helpers/sigstore-signer.ts'
import { base64, REFERENCE } from '../helpers/trust-request.ts'
import { makeKey } from '../helpers/x509-issuer.ts'
import { describeVerifier, offer, type VerifierFixture } from './verifier.ts'

const key = makeKey()
const keyData = base64(key.pem)
let signer: GpgSigner | undefined
let signedBy: VerifierFixture

beforeAll(async () => {
  if (lacking(['gpg']).length > 0) return
  const gpg = await openGpgSigner()
  signer = gpg
  const fingerprint = await gpg.makeKey('contract <contract@example.test>', 'ed25519')
  signedBy = {
    requirement: { type: 'signedBy', keyType: 'GPGKeys', keyData: base64(await gpg.exportKeys(fingerprint)) },
    evidence: async (digest) => {
      const critical = {
        type: 'atomic container signature',
        image: { 'docker-manifest-digest': digest },
        identity: { 'docker-reference': REFERENCE },
      }
      return gpg.gpg(['--local-user', fingerprint, '--sign'], Buffer.from(JSON.stringify({ critical, optional: {} })))
    },
    sources: offer('signatures'),
  }
})

afterAll(() => signer?.close())

describeVerifier('signedBy', ['gpg'], () => signedBy)

describeVerifier('sigstoreSigned', [], () => ({
  requirement: { type: 'sigstoreSigned', keyData },
  evidence: async (digest) => {
    const { payload, annotations } = signCosign(cosignPayload(digest, REFERENCE), { key })
    const mimeType = 'application/vnd.dev.cosign.simplesigning.v1+json'
    return Buffer.from(
      `\0sigstore-json\n${JSON.stringify({ mimeType, payload: base64(payload), annotations: Object.fromEntries(annotations) })}`,
    )
  },
  sources: offer('signatures'),
}))

describeVerifier('sigstoreBundle', [], () => ({
  requirement: { type: 'sigstoreBundle', keyData },
  evidence: async (digest) => signBundle({ digest, signer: { key } }),
  sources: offer('bundles'),
}))
