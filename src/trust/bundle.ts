import type { KeyObject } from 'node:crypto'
import type { BundleWithDsseEnvelope } from '@sigstore/bundle'
import type { SignedEntity, TrustMaterial } from '@sigstore/verify'
import { checkLogSigners } from './bundle-log.ts'
import { attempt, parseBundle } from './bundle-parse.ts'
import { oidcIssuer } from './fulcio.ts'
import type { CertificateSigner, SigstoreBundle } from './policy.ts'
import { spkiOf, verifyWithKey } from './public-key.ts'
import { quote, Rejection } from './rejection.ts'
import type { LoggedSignature } from './rekor.ts'
import { parseStatement, type Statement } from './statement.ts'
import { type Certificate, parseCertificate } from './x509.ts'
import { assertCodeSigning } from './x509-chain.ts'

/** Who may have signed a bundle, and what else must vouch for it. */
export interface BundleTrust {
  readonly signer: { readonly keys: readonly KeyObject[] } | { readonly certificate: CertificateSigner }
  /** CAs, logs and timestamp authorities. Without it (only with keys) the signature alone decides. */
  readonly root: TrustMaterial | undefined
  readonly thresholds: SigstoreBundle['thresholds']
  /** Only the log's promise (SET) counts, not its proof: all that a bare Rekor key can verify. */
  readonly promiseOnly: boolean
}

/** A bundle that holds: what it says and who says it. */
export interface VerifiedBundle {
  readonly statement: Statement
  readonly signer: string
}

/** Verifies a bundle of a DSSE statement. What it says still has to be checked: see `checkStatement`. */
export async function verifyBundle(bytes: Buffer, trust: BundleTrust): Promise<VerifiedBundle> {
  const bundle = await parseBundle(bytes)
  const signer = 'keys' in trust.signer ? verifyKey(bundle, trust.signer.keys) : readCertificate(bundle, trust.signer.certificate)
  if (trust.root) {
    checkLogSigners(bundle, signer.logged)
    await verifyMaterial(bundle, trust, signer.key)
  } else if ('certificate' in trust.signer) throw new Error('a certificate cannot be verified without trusted root')
  const { payload, payloadType } = bundle.content.dsseEnvelope
  return { statement: parseStatement(payload, payloadType), signer: signer.name }
}

interface Signer {
  readonly key: KeyObject
  readonly name: string
  /** What every log entry must name. */
  readonly logged: LoggedSignature['signer']
}

function verifyKey(bundle: BundleWithDsseEnvelope, keys: readonly KeyObject[]): Signer {
  const signed = preAuthEncoding(bundle)
  const key = keys.find((candidate) => verifyWithKey(candidate, signed, signatureOf(bundle)))
  if (!key) throw new Rejection('the bundle is not signed by one of the policy keys')
  return { key, name: 'a sigstore key of the policy', logged: { label: 'PUBLIC KEY', der: spkiOf(key) } }
}

/** Checks the identity first: it is cheap, and says most about why a bundle is of no use here. */
function readCertificate(bundle: BundleWithDsseEnvelope, expected: CertificateSigner): Signer {
  const leaf = leafOf(bundle)
  assertCodeSigning(leaf)
  const [name, ...others] = leaf.names
  if (!name || name.kind === 'other' || others.length > 0)
    throw new Rejection('the certificate does not name exactly one e-mail address or URI')
  const { identity } = expected
  const matches = typeof identity === 'string' ? identity === name.text : identity.test(name.text)
  if (!matches) throw new Rejection(`the certificate was given to ${quote(name.text)}`)
  const issuer = oidcIssuer(leaf)
  if (issuer !== expected.issuer) throw new Rejection(`the certificate was given out for the issuer ${quote(issuer)}`)
  return { key: leaf.publicKey, name: `${name.text} (${issuer})`, logged: { label: 'CERTIFICATE', der: leaf.raw } }
}

function leafOf(bundle: BundleWithDsseEnvelope): Certificate {
  const { content } = bundle.verificationMaterial
  const der =
    content.$case === 'certificate'
      ? content.certificate.rawBytes
      : content.$case === 'x509CertificateChain'
        ? content.x509CertificateChain.certificates[0]?.rawBytes
        : undefined
  if (!der) throw new Rejection('the bundle is signed by a bare key, not with a certificate')
  return parseCertificate(Buffer.from(der))
}

async function verifyMaterial(bundle: BundleWithDsseEnvelope, trust: BundleTrust, key: KeyObject): Promise<void> {
  const { toSignedEntity, Verifier } = await import('@sigstore/verify')
  const { tlog, timestamp, sct } = trust.thresholds
  const material = { ...(trust.root as TrustMaterial), publicKey: () => ({ publicKey: key, validFor: () => true }) }
  attempt('the bundle does not hold', () => {
    const parsed = toSignedEntity(bundle)
    const entity: SignedEntity = {
      ...parsed,
      ...('keys' in trust.signer && { key: { $case: 'public-key', hint: '' } }),
      ...(trust.promiseOnly && {
        timestamps: [],
        tlogEntries: parsed.tlogEntries.map((entry) => ({ ...entry, inclusionProof: undefined })),
      }),
      signature: {
        signature: signatureOf(bundle),
        compareSignature: (other) => parsed.signature.compareSignature(other),
        compareDigest: (digest) => parsed.signature.compareDigest(digest),
        // The library takes SHA-256 for every curve.
        verifySignature: (signerKey) => verifyWithKey(signerKey, preAuthEncoding(bundle), signatureOf(bundle)),
      },
    }
    new Verifier(material, { tlogThreshold: tlog, timestampThreshold: timestamp, ctlogThreshold: sct }).verify(entity)
  })
}

function signatureOf(bundle: BundleWithDsseEnvelope): Buffer {
  return bundle.content.dsseEnvelope.signatures[0]?.sig ?? Buffer.alloc(0)
}

/** What a DSSE signature covers. @see https://github.com/secure-systems-lab/dsse/blob/master/protocol.md */
function preAuthEncoding(bundle: BundleWithDsseEnvelope): Buffer {
  const { payload, payloadType } = bundle.content.dsseEnvelope
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload])
}
