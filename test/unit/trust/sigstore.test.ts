import { describe, expect, test } from '@jest/globals'
import type { CosignSignature } from '../../../src/trust/cosign.ts'
import type { SignatureSources } from '../../../src/trust/sources.ts'
import { cosignPayload, signBundle, signCosign } from '../../helpers/sigstore-signer.ts'
import {
  ask,
  base64,
  bundleSources,
  cosignSources,
  INDEX,
  MANIFEST,
  NAME,
  OTHER,
  REFERENCE,
  reasonsOf,
  signatureBlobs,
} from '../../helpers/trust-request.ts'
import { CODE_SIGNING, type KeyKind, makeCertificate, makeKey } from '../../helpers/x509-issuer.ts'

const key = makeKey()
const rekor = makeKey()
const requirement = { type: 'sigstoreSigned', keyData: base64(key.pem) }
const payload = cosignPayload(MANIFEST, REFERENCE)

describe('a cosign 2 signature by a key', () => {
  test.each<KeyKind>(['p256', 'p384', 'rsa', 'ed25519'])('is accepted with a %s key', async (kind) => {
    const signer = makeKey(kind)
    const sources = cosignSources(signCosign(payload, { key: signer }))
    const decision = await ask({ requirements: [{ type: 'sigstoreSigned', keyData: base64(signer.pem) }], sources })
    expect(decision).toMatchObject({ accepted: true, signed: true, requirements: [{ verifiedDigest: MANIFEST }] })
  })

  test('is accepted from a file beside the image', async () => {
    const { annotations } = signCosign(payload, { key })
    const stored = {
      mimeType: 'application/vnd.dev.cosign.simplesigning.v1+json',
      payload: base64(payload),
      annotations: Object.fromEntries(annotations),
    }
    const blob = Buffer.from(`\0sigstore-json\n${JSON.stringify(stored)}`)
    expect((await ask({ requirements: [requirement], sources: signatureBlobs({ [MANIFEST]: [blob] }) })).accepted).toBe(true)
  })

  test('is accepted when any of several keys made it, and any of several signatures is good', async () => {
    const other = makeKey()
    const sources = cosignSources(signCosign(payload, { key: makeKey() }), signCosign(payload, { key }))
    const decision = await ask({ requirements: [{ type: 'sigstoreSigned', keyDatas: [base64(other.pem), base64(key.pem)] }], sources })
    expect(decision.accepted).toBe(true)
    expect(decision.requirements[0]?.attempts).toEqual([{ digest: MANIFEST, reason: 'the signature is not one of the policy keys' }])
  })

  test.each<[string, SignatureSources, RegExp]>([
    ['that is not there', cosignSources(), /no sigstore signature exists/],
    ['by another key', cosignSources(signCosign(payload, { key: makeKey() })), /not one of the policy keys/],
    ['for another digest', cosignSources(signCosign(cosignPayload(OTHER, REFERENCE), { key })), /it signs sha256/],
    [
      'for another name',
      cosignSources(signCosign(cosignPayload(MANIFEST, `${NAME}:2`), { key })),
      /matchRepoDigestOrExact does not accept/,
    ],
    ['for a repository only', cosignSources(signCosign(cosignPayload(MANIFEST, NAME), { key })), /matchRepoDigestOrExact does not accept/],
    [
      'of another type',
      cosignSources(signCosign(cosignPayload(MANIFEST, REFERENCE, { type: 'atomic container signature' }), { key })),
      /must be "cosign/,
    ],
    [
      'with an unknown restriction',
      cosignSources(signCosign(cosignPayload(MANIFEST, REFERENCE, { arch: 'x' }), { key })),
      /unknown member "arch"/,
    ],
    [
      'over a payload that was changed',
      cosignSources({ ...signCosign(payload, { key }), payload: cosignPayload(MANIFEST, `${NAME}:1 `) }),
      /not one of/,
    ],
    ['without the annotation', cosignSources({ payload, annotations: new Map() }), /no annotation dev.cosignproject.cosign\/signature/],
  ])('is refused %s', async (_, sources, reason) => {
    const decision = await ask({ requirements: [requirement], sources })
    expect(decision.accepted).toBe(false)
    expect(reasonsOf(decision)).toMatch(reason)
  })

  test('as cosign writes it, names the repository only: matchRepository accepts it', async () => {
    const sources = cosignSources(signCosign(cosignPayload(MANIFEST, NAME), { key }))
    expect((await ask({ requirements: [{ ...requirement, signedIdentity: { type: 'matchRepository' } }], sources })).accepted).toBe(true)
  })

  test('is asked for in the log when the policy has a Rekor key', async () => {
    const logged = { ...requirement, rekorPublicKeyData: base64(rekor.pem) }
    const verdict = async (signature: CosignSignature) =>
      reasonsOf(await ask({ requirements: [logged], sources: cosignSources(signature) }))
    expect(await verdict(signCosign(payload, { key }, { key: rekor }))).toMatch(/^signed by/)
    expect(await verdict(signCosign(payload, { key }))).toMatch(/no annotation dev.sigstore.cosign\/bundle/)
    expect(await verdict(signCosign(payload, { key }, { key: makeKey() }))).toMatch(/not signed by a trusted log/)
  })
})

describe('a cosign 2 signature by an identity', () => {
  const email = 'ci@example.test'
  const oidcIssuer = 'https://accounts.test'
  const now = Date.now()
  const root = makeCertificate({ subject: 'root', ca: true })
  const certificate = makeCertificate({
    ...{ subject: '', issuer: root, purposes: [CODE_SIGNING], emails: [email], oidcIssuer },
    ...{ notBefore: new Date(now - 60 * 60_000), notAfter: new Date(now - 50 * 60_000) },
  })
  const signer = { key: certificate.key, certificate, chain: [root] }
  const time = new Date(now - 55 * 60_000)
  const fulcio = { caData: base64(root.pem), oidcIssuer, subjectEmail: email }
  const keyless = { type: 'sigstoreSigned', fulcio, rekorPublicKeyData: base64(rekor.pem) }

  test('is accepted after its certificate has expired, because the log saw it in time', async () => {
    const sources = cosignSources(signCosign(payload, signer, { key: rekor, time }))
    expect(await ask({ requirements: [keyless], sources })).toMatchObject({
      accepted: true,
      requirements: [{ reason: `signed by ${email} (${oidcIssuer}) as ${REFERENCE}` }],
    })
  })

  test.each<[string, CosignSignature, RegExp]>([
    ['that the log saw too late', signCosign(payload, signer, { key: rekor }), /was not valid/],
    ['that the log never saw', signCosign(payload, signer), /no annotation dev.sigstore.cosign\/bundle/],
    ['of a log that is not trusted', signCosign(payload, signer, { key: makeKey(), time }), /not signed by a trusted log/],
    ['without certificate', signCosign(payload, { key }, { key: rekor, time }), /no annotation dev.sigstore.cosign\/certificate/],
    ['by a key other than the certificate', signCosign(payload, { ...signer, key }, { key: rekor, time }), /not one of its certificate/],
  ])('is refused when it is one %s', async (_, signature, reason) => {
    const decision = await ask({ requirements: [keyless], sources: cosignSources(signature) })
    expect(decision.accepted).toBe(false)
    expect(reasonsOf(decision)).toMatch(reason)
  })

  test("is accepted with a certificate of one's own CA while it is valid", async () => {
    const requirements = [{ type: 'sigstoreSigned', pki: { caRootsData: base64(root.pem), subjectEmail: email } }]
    const sources = cosignSources(signCosign(payload, signer))
    expect((await ask({ requirements, sources, now: time })).accepted).toBe(true)
    expect(reasonsOf(await ask({ requirements, sources }))).toMatch(/was not valid/)
  })
})

describe('a bundle of cosign 3 for a sigstoreSigned key', () => {
  const bundle = signBundle({ digest: MANIFEST, signer: { key } })
  const judge = (change: object, bytes = bundle, reference = REFERENCE) =>
    ask({ requirements: [{ ...requirement, ...change }], sources: bundleSources({ [MANIFEST]: [bytes] }), reference })

  test.each<[string, object, string, boolean]>([
    ['matchRepository', { type: 'matchRepository' }, REFERENCE, true],
    ['exactRepository of the same repository', { type: 'exactRepository', dockerRepository: NAME }, REFERENCE, true],
    ['exactRepository of another', { type: 'exactRepository', dockerRepository: `${NAME}2` }, REFERENCE, false],
    ['matchRepoDigestOrExact by digest', { type: 'matchRepoDigestOrExact' }, `${NAME}@${MANIFEST}`, true],
    ['matchRepoDigestOrExact by tag', { type: 'matchRepoDigestOrExact' }, REFERENCE, false],
    ['matchExact', { type: 'matchExact' }, REFERENCE, false],
    ['matchExact by digest', { type: 'matchExact' }, `${NAME}@${MANIFEST}`, false],
    ['exactReference', { type: 'exactReference', dockerReference: REFERENCE }, REFERENCE, false],
  ])('states no name, so it is judged by the repository it was found in: %s', async (_, signedIdentity, reference, accepted) => {
    expect((await judge({ signedIdentity }, bundle, reference)).accepted).toBe(accepted)
  })

  test('is asked for in the log when the policy has a Rekor key', async () => {
    const change = { signedIdentity: { type: 'matchRepository' }, rekorPublicKeyData: base64(rekor.pem) }
    const logged = (log = rekor) => signBundle({ digest: MANIFEST, signer: { key }, rekor: { key: log } })
    expect((await judge(change, logged())).accepted).toBe(true)
    expect(reasonsOf(await judge(change, bundle))).toMatch(/expected 1 tlog entries/)
    expect(reasonsOf(await judge(change, logged(makeKey())))).toMatch(/inclusion promise could not be verified/)
  })

  test('does not count for an identity', async () => {
    const fulcio = { caData: base64(makeCertificate({ subject: 'root', ca: true }).pem), oidcIssuer: 'i', subjectEmail: 'e' }
    const keyless = { type: 'sigstoreSigned', fulcio, rekorPublicKeyData: base64(rekor.pem), signedIdentity: { type: 'matchRepository' } }
    const decision = await ask({ requirements: [keyless], sources: bundleSources({ [MANIFEST]: [bundle] }) })
    expect(reasonsOf(decision)).toMatch(/no sigstore signature exists/)
  })

  test('found for the index counts for the image selected through it', async () => {
    const requirements = [{ ...requirement, signedIdentity: { type: 'matchRepository' } }]
    const sources = bundleSources({ [INDEX]: [signBundle({ digest: INDEX, signer: { key } })] })
    expect(await ask({ requirements, sources, indexDigest: INDEX })).toMatchObject({
      accepted: true,
      requirements: [{ verifiedDigest: INDEX }],
    })
    expect((await ask({ requirements, sources })).accepted).toBe(false)
  })
})

describe('key material that the policy names', () => {
  test.each<[string, object]>([
    ['a file that does not exist', { keyPath: '/nonexistent/key.pub' }],
    ['a private key', { keyData: base64(key.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string) }],
    ['a certificate', { keyData: base64(makeCertificate({ subject: 'x' }).pem) }],
    ['two keys in one', { keyData: base64(key.pem + key.pem) }],
    ['a short RSA key', { keyData: base64(makeKey('rsa1024').pem) }],
    ['an RSA key for Rekor', { keyData: base64(key.pem), rekorPublicKeyData: base64(makeKey('rsa').pem) }],
  ])('%s is an error of the policy, not a verdict', async (_, keys) => {
    const asked = ask({ requirements: [{ type: 'sigstoreSigned', ...keys }], sources: cosignSources(signCosign(payload, { key })) })
    await expect(asked).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
  })
})
