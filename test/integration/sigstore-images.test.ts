import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { type Digest, digestOf } from '../../src/spec/digest.ts'
import type { CosignSignature } from '../../src/trust/cosign.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import type { AddedImage, FakeRegistry } from '../helpers/fake-registry-types.ts'
import { failure } from '../helpers/registry-world.ts'
import { ACCEPT_ANYTHING, RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { cosignPayload, sctExtension, signBundle, signCosign, trustedRoot } from '../helpers/sigstore-signer.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { base64 } from '../helpers/trust-request.ts'
import { type CertificateRequest, CODE_SIGNING, makeCertificate, makeKey, type TestKey } from '../helpers/x509-issuer.ts'

/*
 * Images signed in the layouts of cosign 2 (a manifest under the tag sha256-<hex>.sig) and cosign 3 (a bundle that refers
 * to the image), by keys and by certificates of a Fulcio of our own, logged by a Rekor of our own; then pulled, and judged
 * again from what was kept when the registry is gone.
 */

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const [key, rekor, ctLog] = [makeKey(), makeKey(), makeKey()]
const [email, issuer] = ['ci@example.test', 'https://accounts.test']
const minute = 60_000
const time = new Date(Date.now() - 55 * minute)
const root = makeCertificate({ subject: 'root', ca: true })
const leaf = (change: Partial<CertificateRequest> = {}) =>
  makeCertificate({
    ...{ subject: '', issuer: root, purposes: [CODE_SIGNING], emails: [email], oidcIssuer: issuer, precertificate: sctExtension(ctLog) },
    ...{ notBefore: new Date(+time - minute), notAfter: new Date(+time + 9 * minute), ...change },
  })

/** What is signed, and by whom, unless a test says otherwise. */
interface Signing {
  readonly digest: Digest
  readonly reference: string
  readonly key?: TestKey
  readonly log?: TestKey
  readonly certificate?: Partial<CertificateRequest>
}

/** A layout with the requirement that it meets. */
interface Layout {
  readonly requirement: object
  readonly sign: (signing: Signing) => CosignSignature | Buffer
}

const fulcio = { caData: base64(root.pem), oidcIssuer: issuer, subjectEmail: email }
const rekorPublicKeyData = base64(rekor.pem)
const signed = ({ digest, reference }: Signing) => cosignPayload(digest, reference)
const byCertificate = (request: Partial<CertificateRequest> = {}) => {
  const certificate = leaf(request)
  return { key: certificate.key, certificate, chain: [root] }
}
const LAYOUTS: Readonly<Record<string, Layout>> = {
  'cosign 2 with a key and a log': {
    requirement: { type: 'sigstoreSigned', keyData: base64(key.pem), rekorPublicKeyData },
    sign: (signing) => signCosign(signed(signing), { key: signing.key ?? key }, { key: signing.log ?? rekor }),
  },
  'cosign 2 with a Fulcio certificate': {
    requirement: { type: 'sigstoreSigned', fulcio, rekorPublicKeyData },
    sign: (signing) => {
      const signer = byCertificate(signing.certificate)
      return signCosign(signed(signing), { ...signer, key: signing.key ?? signer.key }, { key: signing.log ?? rekor, time })
    },
  },
  'cosign 3 with a key and a log': {
    requirement: { type: 'sigstoreBundle', keyData: base64(key.pem), trustedRootData: base64(trustedRoot({ rekor })) },
    sign: ({ digest, ...signing }) => signBundle({ digest, signer: { key: signing.key ?? key }, rekor: { key: signing.log ?? rekor } }),
  },
  'cosign 3 with a Fulcio certificate': {
    requirement: {
      type: 'sigstoreBundle',
      certificate: { identity: email, issuer },
      trustedRootData: base64(trustedRoot({ chain: [root], rekor, ctLog })),
    },
    sign: ({ digest, ...signing }) => {
      const { certificate, key: own } = byCertificate(signing.certificate)
      return signBundle({ digest, signer: { key: signing.key ?? own, certificate }, rekor: { key: signing.log ?? rekor, time } })
    },
  },
}

const OTHER_EMAIL = 'other@example.test'
const ANOTHER_IDENTITY = {
  bundle: { certificate: { identity: OTHER_EMAIL, issuer } },
  signature: { fulcio: { ...fulcio, subjectEmail: OTHER_EMAIL } },
}

type Variant = readonly [string, Layout['sign']]

const ofName = (sign: Layout['sign']): readonly Variant[] => [
  ['it is about another name', (signing) => sign({ ...signing, reference: `${signing.reference}x` })],
]
const ofCertificate = (sign: Layout['sign']): readonly Variant[] => [
  ['its certificate had expired', (signing) => sign({ ...signing, certificate: { notAfter: new Date(+time - 1000) } })],
  [
    'its certificate is of another CA',
    (signing) => sign({ ...signing, certificate: { issuer: makeCertificate({ subject: 'root', ca: true }) } }),
  ],
  ['its certificate was given to another', (signing) => sign({ ...signing, certificate: { emails: ['evil@example.test'] } })],
]

let registry: FakeRegistry
let store: RuntimeStore
let count = 0

beforeAll(async () => {
  registry = await startFakeRegistry()
  store = await lab.emptyStore({ insecureRegistries: [registry.host] })
  const directory = join(store.directory, '.config/containers/registries.d')
  mkdirSync(directory, { recursive: true })
  writeFileSync(
    join(directory, 'test.yaml'),
    `default-docker:\n  use-sigstore-attachments: true\n  lookaside: file://${store.directory}/none\n`,
  )
})
afterAll(() => registry.close())

/** An image of its own in the registry. */
function addImage(): { readonly repository: string; readonly reference: string; readonly image: AddedImage } {
  const repository = `team/app${++count}`
  const image = registry.addImage(repository, { tag: '1', layers: [tar({ name: 'file', content: repository })] })
  return { repository, reference: `${registry.host}/${repository}:1`, image }
}

/** Puts a signature where cosign puts it. */
function attach(repository: string, image: AddedImage, signature: CosignSignature | Buffer): void {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const config = registry.addBlob(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json')
  if (Buffer.isBuffer(signature)) {
    const artifactType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
    const layers = [registry.addBlob(signature, artifactType)]
    registry.addManifest(
      repository,
      { schemaVersion: 2, mediaType, artifactType, config, layers, subject: image.descriptor },
      { mediaType },
    )
    return
  }
  const blob = registry.addBlob(signature.payload, 'application/vnd.dev.cosign.simplesigning.v1+json')
  const layers = [{ ...blob, annotations: Object.fromEntries(signature.annotations) }]
  const tag = `${image.descriptor.digest.replace(':', '-')}.sig`
  registry.addManifest(repository, { schemaVersion: 2, mediaType, config, layers }, { mediaType, tag })
}

async function withPolicy(policy: object, work: (runtime: Runtime) => Promise<void>): Promise<void> {
  const runtime = await store.open({ policy, env: { ...process.env, HOME: store.directory } })
  try {
    await work(runtime)
  } finally {
    await runtime.close()
  }
}

function truncated(signature: CosignSignature | Buffer): CosignSignature | Buffer {
  return Buffer.isBuffer(signature) ? signature.subarray(0, -1) : { ...signature, payload: signature.payload.subarray(0, -1) }
}

for (const [what, { requirement, sign }] of Object.entries(LAYOUTS)) {
  const policy = { default: [requirement] }
  const isBundle = Buffer.isBuffer(sign({ digest: digestOf('x'), reference: 'registry.test/x:1' }))
  const isKeyless = !('keyData' in requirement)

  describe(what, () => {
    it('is accepted, kept with the image, and judged again without the registry', async () => {
      const { repository, reference, image } = addImage()
      attach(repository, image, sign({ digest: image.descriptor.digest, reference }))
      await withPolicy(policy, async (runtime) => {
        expect(await runtime.trust.evaluate(reference)).toMatchObject({
          accepted: true,
          signed: true,
          manifestDigest: image.descriptor.digest,
        })
        await runtime.images.pull(reference)
      })
      const before = registry.requests.length
      await withPolicy(ACCEPT_ANYTHING, async (runtime) => {
        expect(await runtime.images.verify(reference, { policy })).toMatchObject({ accepted: true, decisions: [{ signed: true }] })
        const denied = {
          default: [
            { ...requirement, ...(isKeyless ? ANOTHER_IDENTITY[isBundle ? 'bundle' : 'signature'] : { keyData: base64(makeKey().pem) }) },
          ],
        }
        expect(await runtime.images.verify(reference, { policy: denied })).toMatchObject({ accepted: false, objection: undefined })
        await runtime.images.remove(reference)
      })
      expect(registry.requests).toHaveLength(before)
    })

    const variants: readonly Variant[] = [
      ['there is none', () => Buffer.alloc(0)],
      ['another key made it', (signing) => sign({ ...signing, key: makeKey() })],
      ['another log saw it', (signing) => sign({ ...signing, log: makeKey() })],
      ['it is about another digest', (signing) => sign({ ...signing, digest: digestOf('other') })],
      ['it is cut', (signing) => truncated(sign(signing))],
      // A bundle states no name: that it lies in the repository is what ties it to that.
      ...(isBundle ? [] : ofName(sign)),
      ...(isKeyless ? ofCertificate(sign) : []),
    ]
    for (const [variant, change] of variants) {
      it(`is refused when ${variant}`, async () => {
        const { repository, reference, image } = addImage()
        const signature = change({ digest: image.descriptor.digest, reference })
        if (!Buffer.isBuffer(signature) || signature.length > 0) attach(repository, image, signature)
        await withPolicy(policy, async (runtime) => {
          const decision = await runtime.trust.evaluate(reference)
          expect(decision).toMatchObject({ accepted: false, signed: false })
          expect(await failure(runtime.images.pull(reference))).toMatchObject({ code: 'ERR_TRUST_DENIED', details: { decision } })
          expect(await runtime.images.list()).toEqual([])
        })
      })
    }
  })
}
