import { Rejection } from './rejection.ts'
import { type Certificate, HANDLED_EXTENSIONS } from './x509.ts'

/** Extended key usages. */
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'
const ANY_PURPOSE = '2.5.29.37.0'
/** ecdsa-with-SHA256/384/512, sha256/384/512WithRSAEncryption, Ed25519: SHA-1 and MD5 can be collided. */
const SIGNATURE_ALGORITHMS: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.3.101.112',
])
const MAX_DEPTH = 8
const MAX_SIGNATURE_CHECKS = 100
const MIN_RSA_BITS = 2048

/** What a certificate path is built from. */
export interface ChainRequest {
  readonly leaf: Certificate
  /** From strangers: only a help to find the way. */
  readonly intermediates: readonly Certificate[]
  readonly roots: readonly Certificate[]
  /** The time at which every certificate of the path, the root too, must be valid. */
  readonly time: Date
}

/**
 * Finds a path from a code-signing certificate to a root, leaf first. Every certificate of it is checked as
 * RFC 5280 section 6 asks, as far as code signing needs: time, names, signature, CA flag, path length, key usage,
 * purpose. A critical extension that is not understood refuses it, so name constraints and policies are refused
 * rather than ignored when they are critical.
 */
export function verifyCodeSigningChain(request: ChainRequest): readonly Certificate[] {
  const { leaf } = request
  assertCodeSigning(leaf)
  checkCertificate(leaf, request.time)
  const search = { ...request, checksLeft: MAX_SIGNATURE_CHECKS, reason: 'its issuer is unknown' }
  const path = extend([leaf], search)
  if (!path) throw new Rejection(`the certificate does not lead to a trusted CA: ${search.reason}`)
  return path
}

/** What a signer's certificate must be by itself, whoever gave it out. */
export function assertCodeSigning(leaf: Certificate): void {
  checkForm(leaf)
  if (!leaf.maySign) throw new Rejection('the certificate must not be used for signatures')
  if (!leaf.purposes?.some(isCodeSigning)) throw new Rejection('the certificate is not one for code signing')
}

interface PathSearch extends ChainRequest {
  checksLeft: number
  reason: string
}

function extend(path: readonly Certificate[], search: PathSearch): readonly Certificate[] | undefined {
  const last = path.at(-1) as Certificate
  for (const [candidates, trusted] of [
    [search.roots, true],
    [search.intermediates, false],
  ] as const) {
    for (const issuer of candidates) {
      if (!issuer.subject.equals(last.issuer) || path.some((member) => member.raw.equals(issuer.raw))) continue
      const why = objection(issuer, path, search)
      if (why !== undefined) {
        search.reason = why
        continue
      }
      const found = trusted ? [...path, issuer] : path.length < MAX_DEPTH ? extend([...path, issuer], search) : undefined
      if (found) return found
    }
  }
  return undefined
}

function objection(issuer: Certificate, path: readonly Certificate[], search: PathSearch): string | undefined {
  const last = path.at(-1) as Certificate
  if (search.checksLeft-- <= 0) return 'the path is too long to search'
  if (!issuer.isCa || !issuer.mayCertify) return 'an issuer is not a CA'
  // RFC 5280, 4.2.1.9: how many CA certificates may stand between this one and the leaf.
  if (issuer.pathLength !== undefined && path.length - 1 > issuer.pathLength) return 'the path is longer than a CA allows'
  if (issuer.purposes && !issuer.purposes.some(isCodeSigning)) return 'a CA is not one for code signing'
  try {
    checkCertificate(issuer, search.time)
    if (!last.signedBy(issuer)) return 'a signature in the path is wrong'
  } catch (error) {
    return error instanceof Rejection ? error.message : 'a signature in the path cannot be checked'
  }
  return undefined
}

function checkCertificate(certificate: Certificate, time: Date): void {
  if (time < certificate.notBefore || time > certificate.notAfter) {
    const { notBefore, notAfter } = certificate
    throw new Rejection(
      `a certificate valid from ${notBefore.toISOString()} to ${notAfter.toISOString()} was not valid at ${time.toISOString()}`,
    )
  }
  checkForm(certificate)
}

function checkForm(certificate: Certificate): void {
  if (!SIGNATURE_ALGORITHMS.has(certificate.signatureAlgorithm)) throw new Rejection('a certificate uses a weak signature algorithm')
  const bits = certificate.publicKey.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && bits < MIN_RSA_BITS) throw new Rejection('a certificate has a weak RSA key')
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !HANDLED_EXTENSIONS.has(oid))
      throw new Rejection(`a certificate has the critical extension ${oid}, which is not understood`)
  }
}

function isCodeSigning(purpose: string): boolean {
  return purpose === CODE_SIGNING || purpose === ANY_PURPOSE
}
