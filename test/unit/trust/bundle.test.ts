import { describe, expect, test } from '@jest/globals'
import { type BundleRequest, sctExtension, signBundle, type TestBundle, trustedRoot } from '../../helpers/sigstore-signer.ts'
import { timestamp } from '../../helpers/timestamp-authority.ts'
import { ask, base64, bundleSources, MANIFEST, OTHER, reasonsOf } from '../../helpers/trust-request.ts'
import { type CertificateRequest, CODE_SIGNING, makeCertificate, makeKey, SERVER_AUTH } from '../../helpers/x509-issuer.ts'

const rekor = makeKey()
const ctLog = makeKey()
const key = makeKey()

describe('a sigstoreBundle requirement with a key', () => {
  const requirement = { type: 'sigstoreBundle', keyData: base64(key.pem) }
  const logged = { ...requirement, trustedRootData: base64(trustedRoot({ rekor })) }
  const judge = async (change: Partial<BundleRequest>, asked: object = requirement) =>
    reasonsOf(
      await ask({
        requirements: [asked],
        sources: bundleSources({ [MANIFEST]: [signBundle({ digest: MANIFEST, signer: { key }, ...change })] }),
      }),
    )

  test('accepts a bundle of that key, of every key it may be', async () => {
    expect(await judge({})).toMatch(/^bundle of type https:\/\/sigstore.dev\/cosign\/sign\/v1 signed by/)
    for (const kind of ['p384', 'rsa', 'ed25519'] as const) {
      const signer = makeKey(kind)
      expect(await judge({ signer: { key: signer } }, { ...requirement, keyData: base64(signer.pem) })).toMatch(/^bundle of type/)
    }
  })

  test('with a trusted root asks for the log', async () => {
    expect(await judge({ rekor: { key: rekor } }, logged)).toMatch(/^bundle of type/)
    expect(await judge({}, logged)).toMatch(/expected 1 tlog entries/)
    expect(await judge({}, { ...logged, tlogThreshold: 0 })).toMatch(/^bundle of type/)
    expect(await judge({ rekor: { key: makeKey() } }, logged)).toMatch(/does not hold/)
  })

  test.each<[string, Partial<BundleRequest>, RegExp]>([
    ['another key', { signer: { key: makeKey() } }, /not signed by one of the policy keys/],
    ['another digest', { digest: OTHER }, /is not about/],
    ['another type of statement', { predicateType: 'https://slsa.dev/provenance/v1' }, /statement of type/],
    [
      'a certificate',
      { signer: { key: makeKey(), certificate: makeCertificate({ subject: 'x' }) } },
      /not signed by one of the policy keys/,
    ],
    ['a changed signature', { change: (bundle) => flip(bundle.dsseEnvelope.signatures[0], 'sig') }, /not signed by/],
    ['a changed payload', { change: (bundle) => flip(bundle.dsseEnvelope, 'payload') }, /not signed by/],
    [
      'another payload type',
      {
        change: (bundle) => {
          bundle.dsseEnvelope.payloadType = 'text/plain'
        },
      },
      /not signed by/,
    ],
    [
      'no signature',
      {
        change: (bundle) => {
          bundle.dsseEnvelope.signatures = []
        },
      },
      /malformed/,
    ],
    ['two signatures', { change: (bundle) => void bundle.dsseEnvelope.signatures.push({ sig: 'AAAA' }) }, /malformed/],
    [
      'another media type',
      {
        change: (bundle) => {
          bundle.mediaType = 'application/json'
        },
      },
      /malformed/,
    ],
  ])('refuses a bundle of %s', async (_, change, reason) => {
    expect(await judge(change)).toMatch(reason)
  })

  test('accepts the statement types that it lists', async () => {
    const predicateType = 'https://slsa.dev/provenance/v1'
    expect(await judge({ predicateType }, { ...requirement, predicateTypes: [predicateType] })).toMatch(
      /^bundle of type https:\/\/slsa.dev/,
    )
    expect(await judge({}, { ...requirement, predicateTypes: [predicateType] })).toMatch(/statement of type/)
  })

  test.each([
    ['text', 'hello'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['a member twice', signBundle({ digest: MANIFEST, signer: { key } }).toString().replace('{', '{"mediaType":"x",')],
    ['a signature of a message instead of a statement', messageBundle()],
  ])('refuses %s', async (_, text) => {
    const decision = await ask({ requirements: [requirement], sources: bundleSources({ [MANIFEST]: [Buffer.from(text)] }) })
    expect(decision.accepted).toBe(false)
  })
})

describe('a sigstoreBundle requirement with an identity', () => {
  const identity = 'https://forge.test/team/app/.ci/build.yaml@refs/heads/main'
  const issuer = 'https://token.forge.test'
  const minute = 60_000
  const time = new Date(Date.now() - 60 * minute)
  const root = makeCertificate({ subject: 'root', ca: true })
  const middle = makeCertificate({ subject: 'middle', ca: true, purposes: [CODE_SIGNING], issuer: root })
  const requirement = {
    type: 'sigstoreBundle',
    certificate: { identity, issuer },
    trustedRootData: base64(trustedRoot({ chain: [middle, root], rekor, ctLog })),
  }
  const certificateOf = (change: Partial<CertificateRequest> = {}) =>
    makeCertificate({
      ...{
        subject: '',
        issuer: middle,
        purposes: [CODE_SIGNING],
        uris: [identity],
        oidcIssuer: issuer,
        precertificate: sctExtension(ctLog),
      },
      ...{ notBefore: new Date(+time - minute), notAfter: new Date(+time + 9 * minute), ...change },
    })
  const judge = async (change: Partial<CertificateRequest>, request: Partial<BundleRequest> = {}, asked: object = requirement) => {
    const certificate = certificateOf(change)
    const bundle = signBundle({ digest: MANIFEST, signer: { key: certificate.key, certificate }, rekor: { key: rekor, time }, ...request })
    return reasonsOf(await ask({ requirements: [asked], sources: bundleSources({ [MANIFEST]: [bundle] }) }))
  }

  test('accepts a bundle of that identity', async () => {
    expect(await judge({})).toContain(`signed by ${identity} (${issuer})`)
    const pattern = { identityPattern: 'https://forge\\.test/team/.*', issuer }
    expect(await judge({}, {}, { ...requirement, certificate: pattern })).toMatch(/^bundle of type/)
    expect(await judge({ uris: [], emails: ['a@b.test'] }, {}, { ...requirement, certificate: { identity: 'a@b.test', issuer } })).toMatch(
      /^bundle of type/,
    )
  })

  test.each<[string, Partial<CertificateRequest>, Partial<BundleRequest>, RegExp]>([
    ['of another identity', { uris: [`${identity}x`] }, {}, /given to/],
    ['of two identities', { uris: [identity, 'https://x.test'] }, {}, /exactly one/],
    ['of another issuer', { oidcIssuer: 'https://evil.test' }, {}, /issuer "https:\/\/evil.test"/],
    ['of another CA', { issuer: makeCertificate({ subject: 'middle', ca: true }) }, {}, /does not hold/],
    ['of a certificate for servers', { purposes: [SERVER_AUTH] }, {}, /not one for code signing/],
    [
      'of a certificate with an unknown critical extension',
      { extra: [{ oid: '1.2.3', critical: true, value: Buffer.from([5, 0]) }] },
      {},
      /not understood/,
    ],
    ['that the log saw too late', {}, { rekor: { key: rekor } }, /does not hold.*certificate chain/],
    ['that the log never saw', {}, { rekor: undefined as never }, /timestamps|tlog/],
    ['of another log', {}, { rekor: { key: makeKey(), time } }, /does not hold/],
    ['signed by a bare key', {}, { signer: { key } }, /not with a certificate/],
    ['whose key is not that of the certificate', {}, { signer: { key, certificate: certificateOf() } }, /signature verification failed/],
    ['of a certificate that no certificate log saw', { precertificate: () => Buffer.alloc(0) }, {}, /SCTs/],
    ['of a certificate that another certificate log saw', { precertificate: sctExtension(makeKey()) }, {}, /SCT verification failed/],
  ])('refuses a bundle %s', async (_, change, request, reason) => {
    expect(await judge(change, request)).toMatch(reason)
  })

  describe('with Rekor 2, which gives no time', () => {
    const tsaRoot = makeCertificate({ subject: 'tsa root', ca: true })
    const authority = makeCertificate({ subject: 'tsa', issuer: tsaRoot })
    const root2 = trustedRoot({ chain: [middle, root], rekor, ctLog, authority: [authority, tsaRoot] })
    const asked = { ...requirement, trustedRootData: base64(root2) }
    const log = { key: rekor, version: 2 } as const
    const stamp = (by = authority, at = time) => ({ rekor: log, timestamp: (signature: Buffer) => timestamp(by, signature, at) })

    test('accepts a bundle that a timestamp authority stamped in time', async () => {
      expect(await judge({}, stamp(), asked)).toMatch(/^bundle of type/)
    })

    test.each<[string, Partial<BundleRequest>, RegExp]>([
      ['without timestamp', { rekor: log }, /expected 1 timestamps/],
      ['stamped too late', stamp(authority, new Date()), /certificate chain/],
      [
        'stamped by another authority',
        stamp(makeCertificate({ subject: 'tsa', issuer: makeCertificate({ subject: 'tsa root', ca: true }) })),
        /timestamp could not/,
      ],
      [
        'whose stamp is for another signature',
        { rekor: log, timestamp: () => timestamp(authority, Buffer.from('x'), time) },
        /timestamp could not/,
      ],
      ['whose stamp is none', { rekor: log, timestamp: () => Buffer.from('hello') }, /does not hold/],
      [
        'whose log entry names another signer',
        { ...stamp(), loggedSigner: { key: makeKey(), certificate: certificateOf() } },
        /another signer/,
      ],
      ['of another log', { ...stamp(), rekor: { ...log, key: makeKey() } }, /does not hold/],
    ])('refuses a bundle %s', async (_, request, reason) => {
      expect(await judge({}, request, asked)).toMatch(reason)
    })

    test('accepts a bundle of a key, which needs no time', async () => {
      const bundle = signBundle({ digest: MANIFEST, signer: { key }, rekor: log })
      const byKey = { type: 'sigstoreBundle', keyData: base64(key.pem), trustedRootData: base64(root2) }
      expect((await ask({ requirements: [byKey], sources: bundleSources({ [MANIFEST]: [bundle] }) })).accepted).toBe(true)
    })
  })

  test('asks for no certificate log where the policy says so', async () => {
    expect(await judge({ precertificate: () => Buffer.alloc(0) }, {}, { ...requirement, sctThreshold: 0 })).toMatch(/^bundle of type/)
  })

  test('a trusted root that is none is an error of the policy', async () => {
    await expect(judge({}, {}, { ...requirement, trustedRootData: base64('{}x') })).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
    await expect(judge({}, {}, { ...requirement, trustedRootData: base64('[]') })).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
    await expect(judge({}, {}, { ...requirement, trustedRootData: base64('{}') })).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
  })
})

function flip<Name extends string>(holder: Record<Name, string> | undefined, name: Name): void {
  if (!holder) return
  const bytes = Buffer.from(holder[name], 'base64')
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  holder[name] = bytes.toString('base64')
}

function messageBundle(): string {
  const { dsseEnvelope: _, ...bundle } = JSON.parse(signBundle({ digest: MANIFEST, signer: { key } }).toString()) as TestBundle
  const messageDigest = { algorithm: 'SHA2_256', digest: base64(Buffer.alloc(32)) }
  return JSON.stringify({ ...bundle, messageSignature: { messageDigest, signature: base64('x') } })
}
