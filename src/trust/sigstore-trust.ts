import type { KeyObject } from 'node:crypto'
import type { FulcioTrust } from './fulcio.ts'
import { readMaterial, unusable } from './material.ts'
import type { PkiTrust } from './pki.ts'
import type { Material, SigstoreSigned } from './policy.ts'
import { readPublicKeys } from './public-key.ts'
import { isRejection } from './rejection.ts'
import { type Certificate, parseCaFile } from './x509.ts'

/** A `sigstoreSigned` requirement with its files read. */
export type SigstoreTrust =
  | { readonly kind: 'keys'; readonly keys: readonly KeyObject[]; readonly rekorKeys: readonly KeyObject[] }
  | { readonly kind: 'fulcio'; readonly fulcio: FulcioTrust; readonly rekorKeys: readonly KeyObject[] }
  | { readonly kind: 'pki'; readonly pki: PkiTrust }

/** Reads keys and CAs. @throws ERR_POLICY_INVALID when one is missing or is something else */
export async function readSigstoreTrust(requirement: SigstoreSigned, signal: AbortSignal | undefined): Promise<SigstoreTrust> {
  const { keys, fulcio, pki } = requirement
  if (pki) {
    const roots = await readCertificates(pki.roots, signal)
    const intermediates = pki.intermediates ? await readCertificates(pki.intermediates, signal) : []
    return { kind: 'pki', pki: { roots, intermediates, subjectEmail: pki.subjectEmail, subjectHostname: pki.subjectHostname } }
  }
  const rekorKeys = await readRekorKeys(requirement.rekorKeys, signal)
  if (fulcio) {
    const { oidcIssuer, subjectEmail } = fulcio
    return { kind: 'fulcio', fulcio: { roots: await readCertificates(fulcio.ca, signal), oidcIssuer, subjectEmail }, rekorKeys }
  }
  return { kind: 'keys', keys: await readPublicKeys(keys ?? [], signal), rekorKeys }
}

// Rekor signs with ECDSA. A key of another kind is more likely the wrong file than another log.
async function readRekorKeys(materials: readonly Material[], signal: AbortSignal | undefined): Promise<readonly KeyObject[]> {
  const keys = await readPublicKeys(materials, signal)
  for (const [index, key] of keys.entries()) {
    if (key.asymmetricKeyType !== 'ec') throw unusable(materials[index] as Material, 'is not an ECDSA key, as Rekor keys are')
  }
  return keys
}

async function readCertificates(material: Material, signal: AbortSignal | undefined): Promise<readonly Certificate[]> {
  const pem = (await readMaterial(material, signal)).toString('latin1')
  try {
    return parseCaFile(pem)
  } catch (error) {
    if (!isRejection(error)) throw error
    throw unusable(material, `has no usable CA certificates: ${error.message}`)
  }
}
