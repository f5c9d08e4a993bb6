import { quote, Rejection } from './rejection.ts'

/** Hash algorithms of OpenPGP that a signature may use: SHA-256, 384, 512, 224 (RFC 4880, 9.4). */
const GOOD_HASHES: ReadonlySet<string> = new Set(['8', '9', '10', '11'])
/** Classes of a signature over a document: binary, canonical text (RFC 4880, 5.2.1). */
const DOCUMENT_CLASSES: ReadonlySet<string> = new Set(['00', '01'])
/** Every keyword that says a signature is not good. */
const BAD: Readonly<Record<string, string>> = {
  BADSIG: 'the signature is wrong',
  ERRSIG: 'the signature cannot be checked',
  EXPSIG: 'the signature has expired',
  EXPKEYSIG: 'the signing key has expired',
  REVKEYSIG: 'the signing key has been revoked',
  NO_PUBKEY: 'the signing key is unknown',
  NODATA: 'it is no OpenPGP message',
  UNEXPECTED: 'it has unexpected OpenPGP packets',
  BADARMOR: 'it has damaged armour',
  KEYEXPIRED: 'the signing key has expired',
  KEYREVOKED: 'the signing key has been revoked',
  SIGEXPIRED: 'the signature has expired',
  DECRYPTION_FAILED: 'it is encrypted',
  BEGIN_DECRYPTION: 'it is encrypted',
  ENC_TO: 'it is encrypted',
  TRUNCATED: 'it is truncated',
  FAILURE: 'gpg failed on it',
  ERROR: 'gpg failed on it',
}
const PREFIX = '[GNUPG:] '

interface StatusLine {
  readonly keyword: string
  readonly fields: readonly string[]
}

function parseLines(status: string): readonly StatusLine[] {
  return status
    .split('\n')
    .filter((line) => line.startsWith(PREFIX))
    .map((line) => {
      const [keyword = '', ...fields] = line.slice(PREFIX.length).split(' ')
      return { keyword, fields }
    })
}

/** Fingerprints of the primary keys that an import added. */
export function importedFingerprints(status: string): ReadonlySet<string> {
  return new Set(parseLines(status).flatMap(({ keyword, fields }) => (keyword === 'IMPORT_OK' && fields[1] ? [fields[1]] : [])))
}

/**
 * The fingerprint of the primary key behind the one good signature of a message. Everything must be there exactly
 * once: a message of two parts, one signed, would else lend its signature to the other (CVE-2018-12020 and kin).
 *
 * @see /usr/share/doc/gnupg/DETAILS.gz, "Format of the --status-fd output"
 */
export function signerFingerprint(status: string, trusted: ReadonlySet<string>): string {
  const lines = parseLines(status)
  for (const { keyword, fields } of lines) {
    // KEYEXPIRED and KEYREVOKED also come for keys that signed nothing; the *KEYSIG lines judge the signer.
    if (keyword === 'KEYEXPIRED' || keyword === 'KEYREVOKED') continue
    const why = BAD[keyword]
    if (why) throw new Rejection(keyword === 'NO_PUBKEY' || keyword === 'ERRSIG' ? `${whyUnknown(lines)} ${quote(fields[0] ?? '')}` : why)
  }
  for (const keyword of ['NEWSIG', 'GOODSIG', 'VALIDSIG', 'PLAINTEXT']) {
    const count = lines.filter((line) => line.keyword === keyword).length
    if (count !== 1) throw new Rejection(`the message must have exactly one signature over one document (${count} ${keyword})`)
  }
  const valid = lines.find((line) => line.keyword === 'VALIDSIG')?.fields ?? []
  const [, , , , , , , hash = '', signatureClass = '', primary = ''] = valid
  if (!GOOD_HASHES.has(hash)) throw new Rejection(`the signature uses the weak hash algorithm ${quote(hash)}`)
  if (!DOCUMENT_CLASSES.has(signatureClass)) throw new Rejection('the signature is not one over a document')
  if (!trusted.has(primary)) throw new Rejection(`the signing key ${quote(primary)} is not one of the policy's`)
  return primary
}

function whyUnknown(lines: readonly StatusLine[]): string {
  return lines.some((line) => line.keyword === 'NO_PUBKEY')
    ? 'the policy does not list the signing key'
    : 'the signature cannot be checked, key'
}
