import { createHash } from 'node:crypto'
import { type Digest, digestOf } from '../../src/spec/digest.ts'
import type { CosignSignature } from '../../src/trust/cosign.ts'
import type { CosignAttachment } from '../../src/trust/sources.ts'
import { der, extension, signWith, type TestCertificate, type TestKey } from './x509-issuer.ts'

/*
 * What cosign, Rekor and a certificate transparency log do, in the small: enough to make genuine signatures in the
 * layouts of cosign 2 and 3, and to make every kind of wrong one.
 */

const PREDICATE = 'https://sigstore.dev/cosign/sign/v1'

const sha256 = (...parts: readonly Uint8Array[]) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()

/** Who a signature is attributed to: a bare key, or a certificate with its intermediates and root. */
export interface TestSigner {
  readonly key: TestKey
  readonly certificate?: TestCertificate
  readonly chain?: readonly TestCertificate[]
}

const signerPem = (signer: TestSigner) => signer.certificate?.pem ?? signer.key.pem

// --- cosign 2

export function cosignPayload(digest: string, reference: string, change: Record<string, unknown> = {}): Buffer {
  const critical = {
    identity: { 'docker-reference': reference },
    image: { 'docker-manifest-digest': digest },
    type: 'cosign container image signature',
    ...change,
  }
  return Buffer.from(JSON.stringify({ critical, optional: null }))
}

/** Signs a payload; `rekor` adds the log's promise, made at `time`. */
export function signCosign(payload: Buffer, signer: TestSigner, rekor?: { key: TestKey; time?: Date }): CosignSignature {
  const signature = signWith(signer.key, payload)
  const annotations = new Map([['dev.cosignproject.cosign/signature', signature.toString('base64')]])
  if (rekor) annotations.set('dev.sigstore.cosign/bundle', rekorSet(rekor, { payload, signature, signer }))
  if (signer.certificate) annotations.set('dev.sigstore.cosign/certificate', signer.certificate.pem)
  if (signer.chain) annotations.set('dev.sigstore.cosign/chain', signer.chain.map(({ pem }) => pem).join(''))
  return { payload, annotations }
}

/** Rekor's SET over a hashedrekord entry. */
export function rekorSet(rekor: { key: TestKey; time?: Date }, entry: { payload: Buffer; signature: Buffer; signer: TestSigner }): string {
  const publicKey = { content: Buffer.from(signerPem(entry.signer)).toString('base64') }
  const spec = {
    data: { hash: { algorithm: 'sha256', value: sha256(entry.payload).toString('hex') } },
    signature: { content: entry.signature.toString('base64'), publicKey },
  }
  const body = Buffer.from(JSON.stringify({ apiVersion: '0.0.1', kind: 'hashedrekord', spec })).toString('base64')
  const payload = { body, integratedTime: seconds(rekor.time), logIndex: 7, logID: logId(rekor.key).toString('hex') }
  return JSON.stringify({ SignedEntryTimestamp: promise(rekor.key, payload), Payload: payload })
}

/** The manifest and blobs that `cosign sign` of version 2 pushes as `sha256-<hex>.sig`. */
export function cosignAttachment(signatures: readonly CosignSignature[]): CosignAttachment {
  const blobs = new Map(signatures.map(({ payload }) => [digestOf(payload), payload]))
  const layers = signatures.map(({ payload, annotations }) => ({
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    size: payload.length,
    digest: digestOf(payload),
    annotations: Object.fromEntries(annotations),
  }))
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', size: 2, digest: digestOf('{}') }
  return {
    mediaType,
    manifest: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })),
    blob: async ({ digest }) => blobs.get(digest) ?? Buffer.alloc(0),
  }
}

// --- cosign 3

export interface BundleRequest {
  readonly digest: Digest
  readonly signer: TestSigner
  readonly predicateType?: string
  /** Logged by this Rekor, at this time. Version 2 gives a proof, but no promise and no time. */
  readonly rekor?: { key: TestKey; time?: Date; origin?: string; version?: 1 | 2 }
  /** Stamps the signature. */
  readonly timestamp?: (signature: Buffer) => Buffer
  /** What the log says of itself: a signer other than the real one, a change of the entry. */
  readonly loggedSigner?: TestSigner
  readonly change?: (bundle: TestBundle) => void
}

export interface TestBundle {
  mediaType: string
  verificationMaterial: Record<string, unknown> & { tlogEntries: Record<string, unknown>[] }
  dsseEnvelope: { payload: string; payloadType: string; signatures: { sig: string; keyid?: string }[] }
}

/** A bundle of version 0.3 as `cosign sign` of version 3 attaches it. */
export function signBundle(request: BundleRequest): Buffer {
  const { signer, rekor, predicateType = PREDICATE } = request
  const subject = [{ digest: { sha256: request.digest.slice('sha256:'.length) } }]
  const payload = Buffer.from(JSON.stringify({ _type: 'https://in-toto.io/Statement/v1', subject, predicateType, predicate: {} }))
  const payloadType = 'application/vnd.in-toto+json'
  const signature = signWith(
    signer.key,
    Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]),
  )
  const bundle: TestBundle = {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: {
      ...(signer.certificate
        ? { certificate: { rawBytes: signer.certificate.der.toString('base64') } }
        : { publicKey: { hint: sha256(spki(signer.key)).toString('base64') } }),
      ...(request.timestamp && {
        timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: request.timestamp(signature).toString('base64') }] },
      }),
      tlogEntries: rekor ? [logEntry(rekor, { payload, signature, signer: request.loggedSigner ?? signer })] : [],
    },
    dsseEnvelope: { payload: payload.toString('base64'), payloadType, signatures: [{ sig: signature.toString('base64') }] },
  }
  request.change?.(bundle)
  return Buffer.from(JSON.stringify(bundle))
}

/** An entry in a log of one entry: promise, proof and checkpoint. */
function logEntry(rekor: NonNullable<BundleRequest['rekor']>, entry: LogRequest) {
  const { key, origin = 'rekor.test', version = 1 } = rekor
  const body = Buffer.from(JSON.stringify(version === 1 ? dsseV1(entry) : dsseV2(entry)))
  const rootHash = sha256(Buffer.from([0]), body)
  const note = `${origin}\n1\n${rootHash.toString('base64')}\n`
  const noteSignature = Buffer.concat([logId(key).subarray(0, 4), signWith(key, Buffer.from(note))]).toString('base64')
  const promised = { body: body.toString('base64'), integratedTime: seconds(rekor.time), logIndex: 0, logID: logId(key).toString('hex') }
  return {
    logIndex: '0',
    logId: { keyId: logId(key).toString('base64') },
    kindVersion: { kind: 'dsse', version: `0.0.${version}` },
    integratedTime: version === 1 ? String(promised.integratedTime) : '0',
    ...(version === 1 && { inclusionPromise: { signedEntryTimestamp: promise(key, promised) } }),
    inclusionProof: {
      logIndex: '0',
      rootHash: rootHash.toString('base64'),
      treeSize: '1',
      hashes: [],
      checkpoint: { envelope: `${note}\n\u2014 ${origin} ${noteSignature}\n` },
    },
    canonicalizedBody: body.toString('base64'),
  }
}

type LogRequest = { payload: Buffer; signature: Buffer; signer: TestSigner }

function dsseV1({ payload, signature, signer }: LogRequest): object {
  const signatures = [{ signature: signature.toString('base64'), verifier: Buffer.from(signerPem(signer)).toString('base64') }]
  const payloadHash = { algorithm: 'sha256', value: sha256(payload).toString('hex') }
  return { apiVersion: '0.0.1', kind: 'dsse', spec: { payloadHash, signatures } }
}

function dsseV2({ payload, signature, signer }: LogRequest): object {
  const { certificate, key } = signer
  const rawBytes = (certificate ? certificate.der : spki(key)).toString('base64')
  const verifier = { keyDetails: 'PKIX_ECDSA_P256_SHA_256', [certificate ? 'x509Certificate' : 'publicKey']: { rawBytes } }
  const payloadHash = { algorithm: 'SHA2_256', digest: sha256(payload).toString('base64') }
  const dsseV002 = { payloadHash, signatures: [{ content: signature.toString('base64'), verifier }] }
  return { apiVersion: '0.0.2', kind: 'dsse', spec: { dsseV002 } }
}

/** A `trusted_root.json`: one CA (leaf-most first), one log, one certificate log. */
export function trustedRoot(parts: {
  chain?: readonly TestCertificate[]
  rekor?: TestKey
  ctLog?: TestKey
  authority?: readonly TestCertificate[]
}): Buffer {
  const log = (key: TestKey, baseUrl: string) => ({
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: {
      rawBytes: spki(key).toString('base64'),
      keyDetails: 'PKIX_ECDSA_P256_SHA_256',
      validFor: { start: '2020-01-01T00:00:00Z' },
    },
    logId: { keyId: logId(key).toString('base64') },
  })
  const ca = (chain: readonly TestCertificate[]) => ({
    subject: { organization: 'test', commonName: 'test' },
    uri: 'https://fulcio.test',
    certChain: { certificates: chain.map((certificate) => ({ rawBytes: certificate.der.toString('base64') })) },
    validFor: { start: '2020-01-01T00:00:00Z' },
  })
  return Buffer.from(
    JSON.stringify({
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: parts.rekor ? [log(parts.rekor, 'https://rekor.test')] : [],
      certificateAuthorities: parts.chain ? [ca(parts.chain)] : [],
      ctlogs: parts.ctLog ? [log(parts.ctLog, 'https://ctlog.test')] : [],
      timestampAuthorities: parts.authority ? [ca(parts.authority)] : [],
    }),
  )
}

/** The extension in which a certificate log promises to log a certificate (RFC 6962, 3.3). */
export function sctExtension(ctLog: TestKey, time = new Date()) {
  return (tbs: Buffer, issuerKey: TestKey['publicKey']): Buffer => {
    const stamp = Buffer.alloc(8)
    stamp.writeBigUInt64BE(BigInt(time.getTime()))
    const length = Buffer.alloc(3)
    length.writeUIntBE(tbs.length, 0, 3)
    const issuer = sha256(issuerKey.export({ type: 'spki', format: 'der' }))
    // version 1, certificate_timestamp, time, precert_entry, issuer, certificate, no extensions
    const signed = Buffer.concat([Buffer.from([0, 0]), stamp, Buffer.from([0, 1]), issuer, length, tbs, Buffer.from([0, 0])])
    const signature = signWith(ctLog, signed)
    const body = Buffer.concat([Buffer.from([0]), logId(ctLog), stamp, Buffer.from([0, 0, 4, 3]), uint16(signature.length), signature])
    const list = Buffer.concat([uint16(body.length), body])
    return extension('1.3.6.1.4.1.11129.2.4.2', false, der(0x04, Buffer.concat([uint16(list.length), list])))
  }
}

function promise(key: TestKey, payload: { body: string; integratedTime: number; logIndex: number; logID: string }): string {
  const { body, integratedTime, logID, logIndex } = payload
  return signWith(key, Buffer.from(JSON.stringify({ body, integratedTime, logID, logIndex }))).toString('base64')
}

function spki(key: TestKey): Buffer {
  return key.publicKey.export({ type: 'spki', format: 'der' })
}

function logId(key: TestKey): Buffer {
  return sha256(spki(key))
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function seconds(time = new Date()): number {
  return Math.floor(time.getTime() / 1000)
}
