import type { KeyObject } from 'node:crypto'
import { DER, readDer } from './der.ts'
import { quote, Rejection } from './rejection.ts'
import { type Certificate, parsePemCertificates } from './x509.ts'
import { verifyCodeSigningChain } from './x509-chain.ts'

/** OIDC issuer in a Fulcio certificate: the old form is bare text, the new one a DER string. */
const ISSUER_V1 = '1.3.6.1.4.1.57264.1.1'
const ISSUER_V2 = '1.3.6.1.4.1.57264.1.8'

/** The signer's certificate as a signature carries it. */
export interface CertificateText {
  readonly certificate: string
  /** Intermediates, then the root; leaf excluded. */
  readonly chain: string | undefined
}

/** Who must have signed, according to whom. */
export interface FulcioTrust {
  readonly roots: readonly Certificate[]
  readonly oidcIssuer: string
  readonly subjectEmail: string
}

/**
 * Verifies a short-lived Fulcio certificate at the time the log saw it in use, and that it was given to the
 * subject by the issuer. The certificate's own log (SCT) is not asked for: the Rekor entry holds it in full.
 *
 * @see https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
 */
export function verifyFulcio(text: CertificateText, trust: FulcioTrust, time: Date): KeyObject {
  const leaf = verifyLeaf(text, { roots: trust.roots, intermediates: [], time })
  const issuer = oidcIssuer(leaf)
  if (issuer !== trust.oidcIssuer) throw new Rejection(`the certificate was given out for the issuer ${quote(issuer)}`)
  const [name, ...others] = leaf.names
  if (name?.kind !== 'email' || others.length > 0) throw new Rejection('the certificate does not name exactly one e-mail address')
  if (name.text !== trust.subjectEmail) throw new Rejection(`the certificate was given to ${quote(name.text)}`)
  return leaf.publicKey
}

/** Parses and verifies the certificate of a signature; the root that comes with the chain counts for nothing. */
export function verifyLeaf(
  text: CertificateText,
  trust: { roots: readonly Certificate[]; intermediates: readonly Certificate[]; time: Date },
): Certificate {
  const [leaf, ...more] = parsePemCertificates(text.certificate)
  if (!leaf || more.length > 0) throw new Rejection('the signature carries more than one signer certificate')
  const offered = text.chain === undefined || text.chain.trim() === '' ? [] : parsePemCertificates(text.chain).slice(0, -1)
  verifyCodeSigningChain({ leaf, intermediates: [...trust.intermediates, ...offered], roots: trust.roots, time: trust.time })
  return leaf
}

/** The OIDC issuer that Fulcio recorded. Where it did so in both forms, they must agree. */
export function oidcIssuer(certificate: Certificate): string {
  const old = certificate.extensions.get(ISSUER_V1)?.value.toString('utf8')
  const encoded = certificate.extensions.get(ISSUER_V2)
  const recent = encoded && readDer(encoded.value, DER.utf8String).content.toString('utf8')
  if (old !== undefined && recent !== undefined && old !== recent) throw new Rejection('the certificate names two issuers')
  const issuer = recent ?? old
  if (issuer === undefined) throw new Rejection('the certificate names no OIDC issuer')
  return issuer
}
