import { describe, expect, test } from '@jest/globals'
import { digestOf } from '../../src/spec/digest.ts'
import type { CosignSignature } from '../../src/trust/cosign.ts'
import { parsePolicy } from '../../src/trust/policy-parse.ts'
import type { CosignAttachment } from '../../src/trust/sources.ts'
import {
  type BundleRequest,
  cosignAttachment,
  cosignPayload,
  signBundle,
  signCosign,
  type TestBundle,
  trustedRoot,
} from '../helpers/sigstore-signer.ts'
import {
  ask,
  base64,
  bundleSources,
  INDEX,
  list,
  MANIFEST,
  NAME,
  OTHER,
  REFERENCE,
  reasonsOf,
  signatureBlobs,
} from '../helpers/trust-request.ts'
import { type CertificateRequest, CODE_SIGNING, makeCertificate, makeKey } from '../helpers/x509-issuer.ts'

/*
 * Attacks on signature verification that others have suffered. What needs gpg stands in signatures-gpg.test.ts, what needs
 * a registry that changes its mind in signatures-pull.test.ts.
 */

const key = makeKey()
const rekor = makeKey()
const payload = cosignPayload(MANIFEST, REFERENCE)
const requirement = { type: 'sigstoreSigned', keyData: base64(key.pem) }
const logged = { ...requirement, rekorPublicKeyData: base64(rekor.pem) }
const SET = 'dev.sigstore.cosign/bundle'

async function refusal(asked: object, ...signatures: readonly CosignSignature[]): Promise<string> {
  const decision = await ask({ requirements: [asked], sources: { attachment: async () => cosignAttachment(signatures) } })
  expect(decision.accepted).toBe(false)
  return reasonsOf(decision)
}

async function bundleRefusal(asked: object, bytes: Uint8Array): Promise<string> {
  const decision = await ask({ requirements: [asked], sources: bundleSources({ [MANIFEST]: [bytes] }) })
  expect(decision.accepted).toBe(false)
  return reasonsOf(decision)
}

/** The first signature with the promise of the second. */
function withPromiseOf(signature: CosignSignature, other: CosignSignature): CosignSignature {
  return { payload: signature.payload, annotations: new Map([...signature.annotations, [SET, other.annotations.get(SET) ?? '']]) }
}

describe('CVE-2026-22703, CVE-2022-23649: a valid log entry of something else', () => {
  const good = signCosign(payload, { key }, { key: rekor })

  test('the entry of another payload is refused', async () => {
    expect(await refusal(logged, withPromiseOf(good, signCosign(cosignPayload(OTHER, REFERENCE), { key }, { key: rekor })))).toMatch(
      /another payload/,
    )
  })

  test('the entry of another signature over the same payload is refused', async () => {
    expect(await refusal(logged, withPromiseOf(good, signCosign(payload, { key }, { key: rekor })))).toMatch(/another signature/)
  })

  test('the entry of another signer is refused', async () => {
    expect(await refusal(logged, withPromiseOf(good, signCosign(payload, { key: makeKey() }, { key: rekor })))).toMatch(/another/)
    const certificate = makeCertificate({ subject: 'x', key })
    const claimed = signCosign(payload, { key, certificate }, { key: rekor })
    expect(await refusal(logged, { ...good, annotations: claimed.annotations })).toMatch(/another signer/)
  })

  test('the same holds for bundles, where the entry names another signer', async () => {
    const asked = { type: 'sigstoreBundle', keyData: base64(key.pem), trustedRootData: base64(trustedRoot({ rekor })) }
    const bundle = (change: Partial<BundleRequest>) => signBundle({ digest: MANIFEST, signer: { key }, rekor: { key: rekor }, ...change })
    expect((await ask({ requirements: [asked], sources: bundleSources({ [MANIFEST]: [bundle({})] }) })).accepted).toBe(true)
    expect(await bundleRefusal(asked, bundle({ loggedSigner: { key: makeKey() } }))).toMatch(/another signer/)
    const other = JSON.parse(signBundle({ digest: OTHER, signer: { key }, rekor: { key: rekor } }).toString()) as TestBundle
    const swapped = bundle({
      change: (own) => {
        own.verificationMaterial.tlogEntries = other.verificationMaterial.tlogEntries
      },
    })
    expect(await bundleRefusal(asked, swapped)).toMatch(/does not hold/)
  })
})

describe('CVE-2022-36056: an expired certificate, or a key that is not the certificate', () => {
  const root = makeCertificate({ subject: 'root', ca: true })
  const leaf = (change: Partial<CertificateRequest> = {}) =>
    makeCertificate({ subject: '', issuer: root, purposes: [CODE_SIGNING], emails: ['a@b.test'], oidcIssuer: 'https://i.test', ...change })
  const fulcio = { caData: base64(root.pem), oidcIssuer: 'https://i.test', subjectEmail: 'a@b.test' }
  const asked = { type: 'sigstoreSigned', fulcio, rekorPublicKeyData: base64(rekor.pem) }
  const sign = (certificate = leaf(), signer = certificate.key) =>
    signCosign(payload, { key: signer, certificate, chain: [root] }, { key: rekor })

  test('a certificate that had expired when the log saw it is refused', async () => {
    expect((await ask({ requirements: [asked], sources: { attachment: async () => cosignAttachment([sign()]) } })).accepted).toBe(true)
    expect(await refusal(asked, sign(leaf({ notAfter: new Date(Date.now() - 60_000) })))).toMatch(/was not valid/)
  })

  test('a signature by another key under a good certificate is refused', async () => {
    expect(await refusal(asked, sign(leaf(), makeKey()))).toMatch(/not one of its certificate/)
  })

  test('CVE-2026-24122: an intermediate or root that had expired is refused', async () => {
    const expired = makeCertificate({ subject: 'middle', ca: true, issuer: root, notAfter: new Date(Date.now() - 60_000) })
    const certificate = leaf({ issuer: expired })
    const signature = signCosign(payload, { key: certificate.key, certificate, chain: [expired, root] }, { key: rekor })
    expect(await refusal(asked, signature)).toMatch(/was not valid/)
    const oldRoot = makeCertificate({ subject: 'old', ca: true, notAfter: new Date(Date.now() - 60_000) })
    const byOld = leaf({ issuer: oldRoot })
    const old = signCosign(payload, { key: byOld.key, certificate: byOld, chain: [oldRoot] }, { key: rekor })
    expect(await refusal({ ...asked, fulcio: { ...fulcio, caData: base64(oldRoot.pem) } }, old)).toMatch(/was not valid/)
  })
})

describe('CVE-2022-35929: a statement of another kind satisfies the policy', () => {
  const asked = { type: 'sigstoreBundle', keyData: base64(key.pem) }
  const attestation = signBundle({ digest: MANIFEST, signer: { key }, predicateType: 'https://example.test/scan-failed/v1' })

  test('an attestation is not a signature', async () => {
    expect(await bundleRefusal(asked, attestation)).toMatch(/statement of type "https:\/\/example.test/)
    expect(await bundleRefusal({ ...requirement, signedIdentity: { type: 'matchRepository' } }, attestation)).toMatch(/statement of type/)
  })

  test('a signature is not an attestation', async () => {
    const bundle = signBundle({ digest: MANIFEST, signer: { key } })
    expect(await bundleRefusal({ ...asked, predicateTypes: ['https://slsa.dev/provenance/v1'] }, bundle)).toMatch(/statement of type/)
  })
})

describe('CVE-2023-46737, CVE-2024-29902, CVE-2024-29903, CVE-2023-25656, CVE-2023-33958: signatures without end', () => {
  const good = signCosign(payload, { key })

  test('a million layers are refused before one is fetched', async () => {
    const small = cosignAttachment([good])
    const { layers, ...rest } = JSON.parse(small.manifest.toString())
    const fetched: string[] = []
    const attachment = (count: number, size?: number): CosignAttachment => ({
      ...small,
      manifest: Buffer.from(
        JSON.stringify({ ...rest, layers: Array(count).fill(size === undefined ? layers[0] : { ...layers[0], size }) }),
      ),
      blob: async ({ digest }) => {
        fetched.push(digest)
        return payload
      },
    })
    const judge = async (made: CosignAttachment) =>
      reasonsOf(await ask({ requirements: [requirement], sources: { attachment: async () => made } }))
    expect(await judge(attachment(1_000_000))).toMatch(/larger than/)
    expect(await judge(attachment(129))).toMatch(/more than 128/)
    expect(await judge(attachment(1, 2 ** 40))).toMatch(/larger than/)
    expect(await judge(attachment(20, 4 << 20))).toMatch(/larger than .* together/)
    expect(fetched).toEqual([])
    expect(await judge(attachment(128))).toMatch(/^signed by/)
  })

  test('a payload of another size or digest than the manifest says is refused', async () => {
    const made = { ...cosignAttachment([good]), blob: async () => Buffer.concat([payload, Buffer.from(' ')]) }
    expect(reasonsOf(await ask({ requirements: [requirement], sources: { attachment: async () => made } }))).toMatch(
      /another digest or size/,
    )
  })

  test.each(['signatures', 'bundles'] as const)('%s that never end are read to a bound and then do not count', async (kind) => {
    let count = 0
    async function* endless() {
      for (;;) {
        count++
        yield kind === 'bundles' ? signBundle({ digest: MANIFEST, signer: { key } }) : Buffer.from([0x88, 0])
      }
    }
    const asked = kind === 'bundles' ? { type: 'sigstoreBundle', keyData: base64(key.pem) } : requirement
    const decision = await ask({ requirements: [asked], sources: { [kind]: endless } })
    expect(decision.accepted).toBe(false)
    expect(reasonsOf(decision)).toMatch(/more than 128/)
    expect(count).toBe(129)
  })

  test('one signature of 5 MiB, or many of 1 MiB, do not count', async () => {
    const judge = async (blobs: Buffer[]) =>
      reasonsOf(await ask({ requirements: [requirement], sources: signatureBlobs({ [MANIFEST]: blobs }) }))
    expect(await judge([Buffer.alloc(5 << 20, 0x88)])).toMatch(/larger than/)
    expect(await judge(Array(40).fill(Buffer.alloc(1 << 20, 0x88)))).toMatch(/together/)
  })

  test('a bomb in the chain of a certificate is refused', async () => {
    const root = makeCertificate({ subject: 'root', ca: true })
    const certificate = makeCertificate({ subject: '', issuer: root, purposes: [CODE_SIGNING], emails: ['a@b.test'] })
    const signature = signCosign(payload, { key: certificate.key, certificate, chain: Array(1000).fill(root) })
    const pki = { type: 'sigstoreSigned', pki: { caRootsData: base64(root.pem), subjectEmail: 'a@b.test' } }
    expect(await refusal(pki, signature)).toMatch(/more than 16 certificates/)
  })
})

describe('CVE-2024-45395: a bundle that is long to verify', () => {
  const asked = { type: 'sigstoreBundle', keyData: base64(key.pem), trustedRootData: base64(trustedRoot({ rekor })) }
  const bundle = (change: NonNullable<BundleRequest['change']>) =>
    signBundle({ digest: MANIFEST, signer: { key }, rekor: { key: rekor }, change })
  const entryOf = (made: TestBundle) =>
    made.verificationMaterial.tlogEntries[0] as Record<string, unknown> & { inclusionProof: Record<string, unknown> }

  test.each<[string, NonNullable<BundleRequest['change']>, RegExp]>([
    ['100,000 log entries', (made) => repeat(made.verificationMaterial.tlogEntries, 5000), /larger than|more than 32/],
    ['33 log entries', (made) => repeat(made.verificationMaterial.tlogEntries, 33), /more than 32/],
    ['one entry twice', (made) => repeat(made.verificationMaterial.tlogEntries, 2), /same log entry twice/],
    [
      '1000 timestamps',
      (made) => {
        made.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: Array(1000).fill({ signedTimestamp: 'AAAA' }) }
      },
      /more than 32/,
    ],
    [
      'an index of a million digits',
      (made) => {
        entryOf(made).logIndex = '1'.repeat(1_000_000)
      },
      /malformed log entry/,
    ],
    [
      'a tree of a million digits',
      (made) => {
        entryOf(made).inclusionProof.treeSize = '1'.repeat(1_000_000)
      },
      /malformed log entry/,
    ],
    [
      'a checkpoint of a million digits',
      (made) => checkpoint(made, `rekor.test\n${'1'.repeat(1_000_000)}\nAAAA\n\n`),
      /malformed log checkpoint/,
    ],
    [
      'a checkpoint whose name is a pattern without end',
      (made) => checkpoint(made, 'x\n1\nAAAA\n\n\u2014 (.*)*(.*)*(.*)*(.*)*y AAAAAAAA\n'),
      /malformed log checkpoint/,
    ],
  ])('%s', async (_, change, reason) => {
    const bytes = bundle(change)
    const start = performance.now()
    expect(await bundleRefusal(asked, bytes)).toMatch(reason)
    expect(performance.now() - start).toBeLessThan(1000)
  })

  test('a document nested a million times', async () => {
    expect(await bundleRefusal(asked, Buffer.from('['.repeat(1_000_000) + ']'.repeat(1_000_000)))).toMatch(/JSON|nested|stack/)
  })

  function checkpoint(made: TestBundle, envelope: string): void {
    entryOf(made).inclusionProof.checkpoint = { envelope }
  }

  function repeat(entries: Record<string, unknown>[], count: number): void {
    entries.push(...Array(count - 1).fill(entries[0]))
  }
})

describe('CVE-2024-23332: the digest that was verified is the one that counts', () => {
  test('a signature for the manifest that a tag had before does not count for what it has now', async () => {
    const sources = { attachment: async () => cosignAttachment([signCosign(payload, { key })]) }
    expect((await ask({ requirements: [requirement], sources })).manifestDigest).toBe(MANIFEST)
    expect((await ask({ requirements: [requirement], sources, manifestDigest: OTHER })).accepted).toBe(false)
  })

  test('signatures of one digest do not count for another, wherever they are offered', async () => {
    const asked: string[] = []
    const sources = {
      bundles: (digest: string) => {
        asked.push(digest)
        return list([signBundle({ digest: OTHER, signer: { key } })])
      },
    }
    const decision = await ask({ requirements: [{ type: 'sigstoreBundle', keyData: base64(key.pem) }], sources, indexDigest: INDEX })
    expect(decision.accepted).toBe(false)
    expect(asked).toEqual([MANIFEST, INDEX])
  })

  test('a statement about a digest of another algorithm with the same hex is about something else', async () => {
    const sha512 = digestOf('manifest', 'sha512')
    const bundle = signBundle({ digest: `sha256:${sha512.slice('sha512:'.length)}`, signer: { key } })
    const asked = { type: 'sigstoreBundle', keyData: base64(key.pem) }
    expect((await ask({ requirements: [asked], sources: bundleSources({ [sha512]: [bundle] }), manifestDigest: sha512 })).accepted).toBe(
      false,
    )
  })
})

describe('a policy that fails open', () => {
  test.each([
    '{"default":[]}',
    '{"default":[{"type":"reject"}],"transports":{"docker":{"registry.test":[]}}}',
    '{"default":[{"type":"reject"}],"Transports":{}}',
    '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}',
    '{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"reject"}],"a":[{"type":"insecureAcceptAnything"}]}}}',
    '{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","keypath":"/j"}]}}}',
    '{"default":[{"type":"reject"}],"__proto__":{"transports":{}}}',
    '{"default":[{"type":"reject"}],"transports":{"__proto__":{"":[{"type":"insecureAcceptAnything"}]}}}',
  ])('%s is refused as a whole', (text) => {
    expect(() => parsePolicy(text)).toThrow(expect.objectContaining({ code: 'ERR_POLICY_INVALID' }))
  })

  test('a requirement that cannot be judged is no consent', async () => {
    const gone = { type: 'sigstoreSigned', keyPath: '/nonexistent/key.pub' }
    await expect(ask({ requirements: [gone] })).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
  })

  test('a bad bundle is not made good by a good attachment, nor the other way round', async () => {
    const sources = {
      ...bundleSources({ [MANIFEST]: [signBundle({ digest: OTHER, signer: { key } })] }),
      attachment: async () => cosignAttachment([signCosign(payload, { key })]),
    }
    const bundle = { type: 'sigstoreBundle', keyData: base64(key.pem) }
    expect((await ask({ requirements: [bundle], sources })).accepted).toBe(false)
    expect((await ask({ requirements: [requirement], sources })).accepted).toBe(true)
    expect((await ask({ requirements: [requirement, bundle], sources })).accepted).toBe(false)
  })
})

describe('a signature under another name', () => {
  test.each<[string, string, object | undefined, boolean]>([
    [`${NAME}:1`, `${NAME}:1`, undefined, true],
    [`${NAME}:2`, `${NAME}:1`, undefined, false],
    ['registry.test/team/evil:1', `${NAME}:1`, undefined, false],
    ['registry.test/team/app/evil:1', `${NAME}:1`, { type: 'matchRepository' }, false],
    ['registry.test:443/team/app:1', `${NAME}:1`, { type: 'matchRepository' }, false],
    [`${NAME}:2`, `${NAME}:1`, { type: 'matchRepository' }, true],
    [`${NAME}:2`, `${NAME}:1`, { type: 'matchExact' }, false],
    ['docker.io/library/app:1', 'app:1', undefined, true],
    ['docker.io/library/app:1', 'docker.io/app:1', undefined, true],
    ['docker.io/team/app:1', 'team/app:1', { type: 'matchExact' }, true],
    [`${NAME}:1`, `${NAME}:1@${OTHER}`, undefined, false],
    [`${NAME}:1`, ` ${NAME}:1`, undefined, false],
    [`${NAME}:1`, `${NAME.toUpperCase()}:1`, undefined, false],
  ])('%s asked for, %s signed, %j: %s', async (reference, signed, signedIdentity, accepted) => {
    const sources = { attachment: async () => cosignAttachment([signCosign(cosignPayload(MANIFEST, signed), { key })]) }
    const decision = await ask({ requirements: [{ ...requirement, ...(signedIdentity && { signedIdentity }) }], sources, reference })
    expect(decision.accepted).toBe(accepted)
  })
})
