import { asBase64, asInteger, asLiteral, asNonEmptyArray, asText, at, exactMembers, type JsonObject, optionalText } from './json-shape.ts'
import {
  type CertificateSigner,
  COSIGN_SIGN_PREDICATE,
  type FulcioSigner,
  type Material,
  type PkiSigner,
  type SignedBy,
  type SigstoreBundle,
  type SigstoreSigned,
} from './policy.ts'
import { Rejection } from './rejection.ts'
import { parseSignedIdentityOf } from './signed-identity-parse.ts'

const KEYS = ['keyPath', 'keyPaths', 'keyData', 'keyDatas']
const REKOR_KEYS = ['rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas']

export function parseSignedBy(value: unknown, path: string): SignedBy {
  const optional = ['keyPath', 'keyPaths', 'keyData', 'signedIdentity']
  const object = exactMembers(value, path, { required: ['type', 'keyType'], optional })
  asLiteral(object.keyType, 'GPGKeys', at(path, 'keyType'))
  const keys = materials(object, KEYS, path)
  if (keys === undefined) throw new Rejection('exactly one of keyPath, keyPaths and keyData must be there', path)
  return { type: 'signedBy', keys, signedIdentity: parseSignedIdentityOf(object, path) }
}

export function parseSigstoreSigned(value: unknown, path: string): SigstoreSigned {
  const object = exactMembers(value, path, { required: ['type'], optional: [...KEYS, ...REKOR_KEYS, 'fulcio', 'pki', 'signedIdentity'] })
  const keys = materials(object, KEYS, path)
  const fulcio = Object.hasOwn(object, 'fulcio') ? parseFulcio(object.fulcio, at(path, 'fulcio')) : undefined
  const pki = Object.hasOwn(object, 'pki') ? parsePki(object.pki, at(path, 'pki')) : undefined
  const rekorKeys = materials(object, REKOR_KEYS, path) ?? []
  if ([keys, fulcio, pki].filter((signer) => signer !== undefined).length !== 1) {
    throw new Rejection('exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki must be there', path)
  }
  if (fulcio && rekorKeys.length === 0)
    throw new Rejection('fulcio needs a rekorPublicKey: only the log proves when a certificate was used', path)
  if (pki && rekorKeys.length > 0) throw new Rejection('pki cannot be combined with a rekorPublicKey', path)
  return { type: 'sigstoreSigned', keys, fulcio, pki, rekorKeys, signedIdentity: parseSignedIdentityOf(object, path) }
}

/**
 * `{"type": "sigstoreBundle", keyPath | keyPaths | keyData | keyDatas | certificate: {identity | identityPattern, issuer},
 * trustedRootPath | trustedRootData, predicateTypes?, tlogThreshold?, timestampThreshold?, sctThreshold?}`
 */
export function parseSigstoreBundle(value: unknown, path: string): SigstoreBundle {
  const optional = [...KEYS, 'certificate', 'trustedRootPath', 'trustedRootData', 'predicateTypes', ...Object.values(THRESHOLDS)]
  const object = exactMembers(value, path, { required: ['type'], optional })
  const keys = materials(object, KEYS, path)
  const certificate = Object.hasOwn(object, 'certificate') ? parseCertificate(object.certificate, at(path, 'certificate')) : undefined
  const trustedRoot = materials(object, ['trustedRootPath', 'trustedRootData'], path)?.[0]
  if ((keys === undefined) === (certificate === undefined)) {
    throw new Rejection('exactly one of keyPath, keyPaths, keyData, keyDatas and certificate must be there', path)
  }
  if (certificate && !trustedRoot) throw new Rejection('certificate needs trustedRootPath or trustedRootData', path)
  const predicateTypes = Object.hasOwn(object, 'predicateTypes')
    ? texts(object.predicateTypes, at(path, 'predicateTypes'))
    : [COSIGN_SIGN_PREDICATE]
  return { type: 'sigstoreBundle', keys, certificate, trustedRoot, predicateTypes, thresholds: thresholds(object, path, certificate) }
}

const THRESHOLDS = { tlog: 'tlogThreshold', timestamp: 'timestampThreshold', sct: 'sctThreshold' } as const

function thresholds(object: JsonObject, path: string, certificate: CertificateSigner | undefined): SigstoreBundle['thresholds'] {
  const read = (name: string, standard: number) => {
    const count = Object.hasOwn(object, name) ? asInteger(object[name], at(path, name)) : standard
    if (count < 0 || count > 16) throw new Rejection('must be between 0 and 16', at(path, name))
    return count
  }
  const timestamp = read(THRESHOLDS.timestamp, certificate ? 1 : 0)
  // Without a trusted time nothing says that the short-lived certificate was valid when it signed.
  if (certificate && timestamp === 0) throw new Rejection('must be at least 1 with certificate', at(path, THRESHOLDS.timestamp))
  return { timestamp, tlog: read(THRESHOLDS.tlog, 1), sct: read(THRESHOLDS.sct, certificate ? 1 : 0) }
}

function parseCertificate(value: unknown, path: string): CertificateSigner {
  const object = exactMembers(value, path, { required: ['issuer'], optional: ['identity', 'identityPattern'] })
  const identity = optionalText(object, 'identity', path)
  const pattern = optionalText(object, 'identityPattern', path)
  if ((identity === undefined) === (pattern === undefined))
    throw new Rejection('exactly one of identity and identityPattern must be there', path)
  return {
    identity: identity ?? wholePattern(pattern as string, at(path, 'identityPattern')),
    issuer: asText(object.issuer, at(path, 'issuer')),
  }
}

function wholePattern(pattern: string, path: string): RegExp {
  try {
    new RegExp(pattern, 'u')
    return new RegExp(`^(?:${pattern})$`, 'u')
  } catch {
    throw new Rejection('must be a regular expression', path)
  }
}

function parseFulcio(value: unknown, path: string): FulcioSigner {
  const object = exactMembers(value, path, { required: ['oidcIssuer', 'subjectEmail'], optional: ['caPath', 'caData'] })
  const ca = materials(object, ['caPath', 'caData'], path)?.[0]
  if (!ca) throw new Rejection('exactly one of caPath and caData must be there', path)
  return {
    ca,
    oidcIssuer: asText(object.oidcIssuer, at(path, 'oidcIssuer')),
    subjectEmail: asText(object.subjectEmail, at(path, 'subjectEmail')),
  }
}

function parsePki(value: unknown, path: string): PkiSigner {
  const files = ['caRootsPath', 'caRootsData', 'caIntermediatesPath', 'caIntermediatesData']
  const object = exactMembers(value, path, { required: [], optional: [...files, 'subjectEmail', 'subjectHostname'] })
  const roots = materials(object, ['caRootsPath', 'caRootsData'], path)?.[0]
  if (!roots) throw new Rejection('exactly one of caRootsPath and caRootsData must be there', path)
  const intermediates = materials(object, ['caIntermediatesPath', 'caIntermediatesData'], path)?.[0]
  const subjectEmail = optionalText(object, 'subjectEmail', path)
  const subjectHostname = optionalText(object, 'subjectHostname', path)
  if (!subjectEmail && !subjectHostname) throw new Rejection('subjectEmail or subjectHostname must be there', path)
  return { roots, intermediates, subjectEmail, subjectHostname }
}

/** The material under at most one of several members: `...Path`, `...Paths`, `...Data` (base64), `...Datas`. */
function materials(object: JsonObject, names: readonly string[], path: string): readonly Material[] | undefined {
  const present = names.filter((name) => Object.hasOwn(object, name))
  if (present.length > 1) throw new Rejection(`only one of ${present.join(' and ')} may be there`, path)
  const name = present[0]
  if (name === undefined) return undefined
  const where = at(path, name)
  if (name.endsWith('Paths')) return texts(object[name], where).map((file) => ({ path: file }))
  if (name.endsWith('Path')) return [{ path: asText(object[name], where) }]
  if (name.endsWith('Datas')) return asNonEmptyArray(object[name], where).map((data, index) => ({ data: asBase64(data, at(where, index)) }))
  return [{ data: asBase64(object[name], where) }]
}

function texts(value: unknown, path: string): readonly string[] {
  return asNonEmptyArray(value, path).map((text, index) => asText(text, at(path, index)))
}
