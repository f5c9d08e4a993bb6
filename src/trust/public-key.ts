import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { readMaterial, unusable } from './material.ts'
import type { Material } from './policy.ts'

const MIN_RSA_BITS = 2048
const CURVE_HASHES: Readonly<Record<string, string>> = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' }
const PEM_PUBLIC_KEY = /^\s*-----BEGIN PUBLIC KEY-----[\sA-Za-z0-9+/=]+-----END PUBLIC KEY-----\s*$/

/** Reads the public keys of a policy: each exactly one PEM block, ECDSA P-256/384/521, RSA of 2048 bits up, or Ed25519. */
export async function readPublicKeys(materials: readonly Material[], signal: AbortSignal | undefined): Promise<readonly KeyObject[]> {
  const keys: KeyObject[] = []
  for (const material of materials) {
    const pem = (await readMaterial(material, signal)).toString('latin1')
    if (!PEM_PUBLIC_KEY.test(pem)) throw unusable(material, 'is not one PEM public key')
    keys.push(readKey(pem, material))
  }
  return keys
}

function readKey(pem: string, material: Material): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (error) {
    throw unusable(material, 'is not a public key', error)
  }
  if (!isUsable(key)) throw unusable(material, 'is not an ECDSA P-256, P-384 or P-521, RSA (2048 bits or more) or Ed25519 key')
  return key
}

/** Whether a key is of a kind and strength that signatures may use. */
function isUsable(key: KeyObject): boolean {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ed25519') return true
  if (key.asymmetricKeyType === 'rsa') return (modulusLength ?? 0) >= MIN_RSA_BITS
  return key.asymmetricKeyType === 'ec' && namedCurve !== undefined && Object.hasOwn(CURVE_HASHES, namedCurve)
}

/**
 * Whether `signature` is one of `key` over `data`. Cosign 2 hashes with SHA-256 whatever the curve; the sigstore
 * libraries of cosign 3 use the hash of the curve's size. Both are tried.
 */
export function verifyWithKey(key: KeyObject, data: Buffer, signature: Buffer): boolean {
  if (!isUsable(key)) return false
  if (key.asymmetricKeyType === 'ed25519') return tryVerify(undefined, key, data, signature)
  const own = CURVE_HASHES[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 'sha256'
  return [...new Set(['sha256', own])].some((hash) => tryVerify(hash, key, data, signature))
}

function tryVerify(hash: string | undefined, key: KeyObject, data: Buffer, signature: Buffer): boolean {
  try {
    return verify(hash, data, key, signature)
  } catch {
    return false
  }
}

/** The SubjectPublicKeyInfo: equal exactly when the keys are. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}
