import { type KeyObject, X509Certificate } from 'node:crypto'
import { DER, type DerElement, derBoolean, derChildren, derOid, derSmallInteger, expectTag, readDer } from './der.ts'
import { TRUST_LIMITS } from './limits.ts'
import { Rejection } from './rejection.ts'

/** What path validation and identity checks need of a certificate. */
export interface Certificate {
  readonly raw: Buffer
  /** Names as DER: they are compared byte by byte. */
  readonly subject: Buffer
  readonly issuer: Buffer
  readonly signatureAlgorithm: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: KeyObject
  readonly isCa: boolean
  readonly pathLength: number | undefined
  /** Whether it may sign certificates; true when it does not restrict its key. */
  readonly mayCertify: boolean
  /** Whether it may sign data; true when it does not restrict its key. */
  readonly maySign: boolean
  /** Purposes it is restricted to; undefined is any. */
  readonly purposes: readonly string[] | undefined
  /** Names of the subject: tag number of the GeneralName and its text. */
  readonly names: readonly GeneralName[]
  readonly extensions: ReadonlyMap<string, Extension>
  /** Whether `issuer`'s key signed this certificate. */
  signedBy(issuer: Certificate): boolean
  matchesHostname(hostname: string): boolean
}

/** @see RFC 5280, 4.2.1.6 */
interface GeneralName {
  readonly kind: 'email' | 'dns' | 'uri' | 'other'
  readonly text: string
}

interface Extension {
  readonly critical: boolean
  readonly value: Buffer
}

const OID = { keyUsage: '2.5.29.15', subjectAltName: '2.5.29.17', basicConstraints: '2.5.29.19', extendedKeyUsage: '2.5.29.37' } as const
/** Extensions that are acted upon below or in x509-chain; any other one that is critical refuses the certificate. */
export const HANDLED_EXTENSIONS: ReadonlySet<string> = new Set(Object.values(OID))
const NAME_KINDS: Readonly<Record<number, GeneralName['kind']>> = { 129: 'email', 130: 'dns', 134: 'uri' }
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\sA-Za-z0-9+/=]+-----END \1-----/g

/** Reads the certificates of a stranger's PEM text: at least one, not too many, and nothing else. */
export function parsePemCertificates(pem: string): readonly Certificate[] {
  const blocks = [...pem.matchAll(PEM_BLOCK)]
  if (pem.replace(PEM_BLOCK, '').trim() !== '') throw new Rejection('the certificates are not PEM')
  if (blocks.length > TRUST_LIMITS.certificates) throw new Rejection(`there are more than ${TRUST_LIMITS.certificates} certificates`)
  return parseBlocks(blocks)
}

/** Reads the certificates of a CA file of the administrator's, which may have any number of them and text between. */
export function parseCaFile(pem: string): readonly Certificate[] {
  return parseBlocks([...pem.matchAll(PEM_BLOCK)])
}

function parseBlocks(blocks: readonly RegExpMatchArray[]): readonly Certificate[] {
  if (blocks.length === 0) throw new Rejection('there is no certificate')
  return blocks.map(([block, label]) => {
    if (label !== 'CERTIFICATE') throw new Rejection(`expected a certificate, found PEM of type ${label}`)
    return parseCertificate(Buffer.from(block.split('-----')[2] ?? '', 'base64'))
  })
}

/** Reads a DER certificate. Node has the key, times and signature check; extensions are read here. */
export function parseCertificate(der: Buffer): Certificate {
  const x509 = readX509(der)
  const [tbs, algorithm] = derChildren(readDer(der, DER.sequence))
  const fields = derChildren(expectTag(tbs, DER.sequence))
  // version [0] is absent in v1 certificates, which have no extensions either and therefore no use here.
  const [version, , innerAlgorithm, issuer, , subject] = fields
  expectTag(version, 0xa0)
  if (!algorithm || !innerAlgorithm?.raw.equals(algorithm.raw)) throw new Rejection('malformed certificate: two signature algorithms')
  const extensions = readExtensions(fields.find((field) => field.tag === 0xa3))
  const usage = keyUsage(extensions.get(OID.keyUsage))
  return {
    raw: der,
    subject: expectTag(subject, DER.sequence).raw,
    issuer: expectTag(issuer, DER.sequence).raw,
    signatureAlgorithm: derOid(derChildren(algorithm)[0]),
    notBefore: x509.validFromDate,
    notAfter: x509.validToDate,
    publicKey: x509.publicKey,
    ...basicConstraints(extensions.get(OID.basicConstraints)),
    mayCertify: usage === undefined || usage.certify,
    maySign: usage === undefined || usage.sign,
    purposes: purposes(extensions.get(OID.extendedKeyUsage)),
    names: names(extensions.get(OID.subjectAltName)),
    extensions,
    signedBy: (other) => x509.verify(other.publicKey),
    matchesHostname: (hostname) => x509.checkHost(hostname, { subject: 'never' }) !== undefined,
  }
}

function readX509(der: Buffer): X509Certificate {
  try {
    const x509 = new X509Certificate(der)
    void x509.publicKey
    return x509
  } catch {
    throw new Rejection('malformed certificate')
  }
}

function readExtensions(field: DerElement | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>()
  if (!field) return extensions
  for (const extension of derChildren(readDer(field.content, DER.sequence))) {
    const parts = derChildren(expectTag(extension, DER.sequence))
    const oid = derOid(parts[0])
    const critical = parts.length === 3 && derBoolean(parts[1])
    if (extensions.has(oid)) throw new Rejection(`malformed certificate: extension ${oid} twice`)
    extensions.set(oid, { critical, value: expectTag(parts.at(-1), DER.octetString).content })
  }
  return extensions
}

function basicConstraints(extension: Extension | undefined): Pick<Certificate, 'isCa' | 'pathLength'> {
  const [isCa, pathLength] = extension ? derChildren(readDer(extension.value, DER.sequence)) : []
  if (!isCa) return { isCa: false, pathLength: undefined }
  return { isCa: derBoolean(isCa), pathLength: pathLength && derSmallInteger(pathLength) }
}

function keyUsage(extension: Extension | undefined): { sign: boolean; certify: boolean } | undefined {
  if (!extension) return undefined
  // The first octet counts unused bits; bit 0 (digitalSignature) is the highest of the next, bit 5 (keyCertSign) 0x04.
  const bits = readDer(extension.value, DER.bitString).content[1] ?? 0
  return { sign: (bits & 0x80) !== 0, certify: (bits & 0x04) !== 0 }
}

function purposes(extension: Extension | undefined): readonly string[] | undefined {
  return extension && derChildren(readDer(extension.value, DER.sequence)).map(derOid)
}

function names(extension: Extension | undefined): readonly GeneralName[] {
  if (!extension) return []
  return derChildren(readDer(extension.value, DER.sequence)).map(({ tag, content }) => {
    const kind = NAME_KINDS[tag] ?? 'other'
    if (kind === 'other') return { kind, text: content.toString('base64') }
    // IA5String: a byte outside ASCII, or a NUL, would make names look alike that are not (CVE-2021-44532 and kin).
    if (content.some((octet) => octet < 0x20 || octet > 0x7e)) throw new Rejection('malformed certificate: alternative name is not ASCII')
    return { kind, text: content.toString('latin1') }
  })
}
