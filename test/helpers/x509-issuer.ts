import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** A key pair of the tests. */
export interface TestKey {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The public key as PEM. */
  readonly pem: string
}

export type KeyKind = 'p256' | 'p384' | 'rsa' | 'rsa1024' | 'ed25519'

export function makeKey(kind: KeyKind = 'p256'): TestKey {
  const pair = keyPair(kind)
  return { ...pair, pem: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString() }
}

function keyPair(kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519')
  if (kind === 'rsa' || kind === 'rsa1024') return generateKeyPairSync('rsa', { modulusLength: kind === 'rsa' ? 2048 : 1024 })
  return generateKeyPairSync('ec', { namedCurve: kind === 'p256' ? 'P-256' : 'P-384' })
}

/** Signs as sigstore clients do: SHA-256 for everything but Ed25519. */
export function signWith(key: TestKey, data: Uint8Array): Buffer {
  return sign(key.privateKey.asymmetricKeyType === 'ed25519' ? undefined : 'sha256', data, key.privateKey)
}

// --- DER

export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const header = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), content])
}

export function derOidOf(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const septets = [arc & 0x7f]
    for (let more = Math.floor(arc / 128); more > 0; more = Math.floor(more / 128)) septets.unshift((more & 0x7f) | 0x80)
    return septets
  })
  return der(0x06, Buffer.from(octets))
}

// --- certificates

export interface CertificateRequest {
  readonly subject: string
  readonly key?: TestKey
  /** Absent: it signs itself. */
  readonly issuer?: Pick<TestCertificate, 'subject' | 'key'>
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly ca?: boolean | { pathLength: number }
  readonly purposes?: readonly string[]
  /** Bits of keyUsage: 0x80 digitalSignature, 0x04 keyCertSign; absent: by `ca`. */
  readonly keyUsage?: number
  readonly emails?: readonly string[]
  readonly uris?: readonly string[]
  readonly hosts?: readonly string[]
  /** OIDC issuer in the new form, the old one, or both. */
  readonly oidcIssuer?: string
  readonly oidcIssuerV1?: string
  readonly extra?: readonly { oid: string; critical: boolean; value: Buffer }[]
  /** Called with the certificate before it is signed; gives a further extension (an SCT). */
  readonly precertificate?: (tbs: Buffer, issuerKey: KeyObject) => Buffer
  readonly hash?: 'sha256' | 'sha1'
}

export interface TestCertificate {
  readonly der: Buffer
  readonly pem: string
  readonly key: TestKey
  readonly subject: string
  /** DER of its serial number and of the name of its issuer. */
  readonly serial: Buffer
  readonly issuerName: Buffer
}

export const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const DAY = 86_400_000

export function makeCertificate(request: CertificateRequest): TestCertificate {
  const key = request.key ?? makeKey()
  const signer = request.issuer?.key ?? key
  const body = (extensions: readonly Buffer[]) => tbs(request, { key, signer, extensions, serial })
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(8)])
  const extensions = extensionsOf(request)
  const sct = request.precertificate?.(body(extensions), signer.publicKey)
  const signed = body(sct ? [...extensions, sct] : extensions)
  const hash = request.hash ?? 'sha256'
  const signature = sign(signer.privateKey.asymmetricKeyType === 'ed25519' ? undefined : hash, signed, signer.privateKey)
  const bytes = der(0x30, signed, algorithmOf(signer, hash), der(0x03, Buffer.from([0]), signature))
  const issuerName = nameOf(request.issuer?.subject ?? request.subject)
  return { der: bytes, pem: pemOf('CERTIFICATE', bytes), key, subject: request.subject, serial: der(0x02, serial), issuerName }
}

function pemOf(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replace(/(.{64})(?=.)/g, '$1\n')
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}

function tbs(request: CertificateRequest, made: { key: TestKey; signer: TestKey; extensions: readonly Buffer[]; serial: Buffer }): Buffer {
  const { notBefore = new Date(Date.now() - DAY), notAfter = new Date(Date.now() + DAY) } = request
  return der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, made.serial),
    algorithmOf(made.signer, request.hash ?? 'sha256'),
    nameOf(request.issuer?.subject ?? request.subject),
    der(0x30, timeOf(notBefore), timeOf(notAfter)),
    nameOf(request.subject),
    made.key.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, ...made.extensions)),
  )
}

function algorithmOf(signer: TestKey, hash: 'sha256' | 'sha1'): Buffer {
  const type = signer.privateKey.asymmetricKeyType
  if (type === 'ed25519') return der(0x30, derOidOf('1.3.101.112'))
  if (type === 'rsa') return der(0x30, derOidOf(`1.2.840.113549.1.1.${hash === 'sha1' ? 5 : 11}`), der(0x05))
  return der(0x30, derOidOf(hash === 'sha1' ? '1.2.840.10045.4.1' : '1.2.840.10045.4.3.2'))
}

function nameOf(commonName: string): Buffer {
  return der(0x30, der(0x31, der(0x30, derOidOf('2.5.4.3'), der(0x0c, Buffer.from(commonName)))))
}

function timeOf(date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`))
}

export function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return der(0x30, derOidOf(oid), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value))
}

function extensionsOf(request: CertificateRequest): Buffer[] {
  const { ca, purposes, emails = [], uris = [], hosts = [], oidcIssuer, oidcIssuerV1, extra = [] } = request
  const names = [...texts(0x81, emails), ...texts(0x82, hosts), ...texts(0x86, uris)]
  const pathLength = typeof ca === 'object' ? [der(0x02, Buffer.from([ca.pathLength]))] : []
  return [
    extension('2.5.29.15', true, der(0x03, Buffer.from([0, request.keyUsage ?? (ca ? 0x06 : 0x80)]))),
    ...(ca ? [extension('2.5.29.19', true, der(0x30, der(0x01, Buffer.from([0xff])), ...pathLength))] : []),
    ...(purposes ? [extension('2.5.29.37', false, der(0x30, ...purposes.map(derOidOf)))] : []),
    ...(names.length > 0 ? [extension('2.5.29.17', true, der(0x30, ...names))] : []),
    ...(oidcIssuer === undefined ? [] : [extension('1.3.6.1.4.1.57264.1.8', false, der(0x0c, Buffer.from(oidcIssuer)))]),
    ...(oidcIssuerV1 === undefined ? [] : [extension('1.3.6.1.4.1.57264.1.1', false, Buffer.from(oidcIssuerV1))]),
    ...extra.map(({ oid, critical, value }) => extension(oid, critical, value)),
  ]
}

function texts(tag: number, values: readonly string[]): Buffer[] {
  return values.map((value) => der(tag, Buffer.from(value, 'latin1')))
}
