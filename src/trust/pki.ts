import type { KeyObject } from 'node:crypto'
import { type CertificateText, verifyLeaf } from './fulcio.ts'
import { quote, Rejection } from './rejection.ts'
import type { Certificate } from './x509.ts'

/** Who must have signed, according to CAs of one's own. */
export interface PkiTrust {
  readonly roots: readonly Certificate[]
  readonly intermediates: readonly Certificate[]
  readonly subjectEmail: string | undefined
  readonly subjectHostname: string | undefined
}

/** Verifies a certificate of one's own CA. No log says when it was used, so all of the path must be valid now. */
export function verifyPki(text: CertificateText, trust: PkiTrust, now: Date): KeyObject {
  const leaf = verifyLeaf(text, { roots: trust.roots, intermediates: trust.intermediates, time: now })
  const { subjectEmail, subjectHostname } = trust
  if (subjectEmail !== undefined && !leaf.names.some(({ kind, text: name }) => kind === 'email' && name === subjectEmail)) {
    throw new Rejection(`the certificate does not name the e-mail address ${quote(subjectEmail)}`)
  }
  if (subjectHostname !== undefined && !leaf.matchesHostname(subjectHostname)) {
    throw new Rejection(`the certificate does not name the host ${quote(subjectHostname)}`)
  }
  return leaf.publicKey
}
