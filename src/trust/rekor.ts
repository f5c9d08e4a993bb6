import { createHash, type KeyObject } from 'node:crypto'
import { asBase64, asInteger, asLiteral, asText, exactMembers, parseJson } from './json-shape.ts'
import { verifyWithKey } from './public-key.ts'
import { Rejection } from './rejection.ts'

/** What the log entry must be about. */
export interface LoggedSignature {
  readonly payload: Buffer
  readonly signature: Buffer
  /** DER of the certificate, or of the public key, that the signature is attributed to. */
  readonly signer: { readonly label: 'CERTIFICATE' | 'PUBLIC KEY'; readonly der: Buffer }
}

/**
 * Verifies a signed entry timestamp: Rekor's promise, made when it saw it, that it has logged exactly this signature
 * by exactly this signer over exactly this payload. Leaving out any of the three lets the promise for another
 * signature stand in (CVE-2022-23649, CVE-2026-22703).
 *
 * @returns when Rekor saw the signature
 * @see https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md (bundle)
 */
export function verifyRekorSet(text: string, keys: readonly KeyObject[], logged: LoggedSignature): Date {
  const bundle = exactMembers(parseJson(text, 'Rekor bundle'), '$', { required: ['SignedEntryTimestamp', 'Payload'] })
  const promise = asBase64(bundle.SignedEntryTimestamp, '$.SignedEntryTimestamp')
  const members = exactMembers(bundle.Payload, '$.Payload', { required: ['body', 'integratedTime', 'logIndex', 'logID'] })
  const body = asText(members.body, '$.Payload.body')
  const integratedTime = asInteger(members.integratedTime, '$.Payload.integratedTime')
  const logIndex = asInteger(members.logIndex, '$.Payload.logIndex')
  const logID = asText(members.logID, '$.Payload.logID')
  // Canonical JSON (RFC 8785) of integers and strings is that of JSON.stringify with the members in order.
  const canonical = Buffer.from(JSON.stringify({ body, integratedTime, logID, logIndex }))
  if (!keys.some((key) => verifyWithKey(key, canonical, promise))) throw new Rejection('the Rekor timestamp is not signed by a trusted log')
  checkBody(asBase64(body, '$.Payload.body'), logged)
  const time = new Date(integratedTime * 1000)
  if (Number.isNaN(time.getTime()) || integratedTime <= 0) throw new Rejection('the Rekor timestamp is out of range')
  return time
}

// hashedrekord 0.0.1: {apiVersion, kind, spec: {data: {hash: {algorithm, value}}, signature: {content, publicKey: {content}}}}
function checkBody(body: Buffer, logged: LoggedSignature): void {
  const root = exactMembers(parseJson(body, 'Rekor entry'), '$', { required: ['apiVersion', 'kind', 'spec'] })
  asLiteral(root.kind, 'hashedrekord', '$.kind')
  asLiteral(root.apiVersion, '0.0.1', '$.apiVersion')
  const spec = exactMembers(root.spec, '$.spec', { required: ['data', 'signature'] })
  const data = exactMembers(spec.data, '$.spec.data', { required: ['hash'] })
  const hash = exactMembers(data.hash, '$.spec.data.hash', { required: ['algorithm', 'value'] })
  asLiteral(hash.algorithm, 'sha256', '$.spec.data.hash.algorithm')
  if (hash.value !== createHash('sha256').update(logged.payload).digest('hex')) {
    throw new Rejection('the Rekor entry is for another payload')
  }
  const signature = exactMembers(spec.signature, '$.spec.signature', { required: ['content', 'publicKey'] })
  if (!asBase64(signature.content, '$.spec.signature.content').equals(logged.signature)) {
    throw new Rejection('the Rekor entry is for another signature')
  }
  const publicKey = exactMembers(signature.publicKey, '$.spec.signature.publicKey', { required: ['content'] })
  if (!isSigner(asBase64(publicKey.content, '$.spec.signature.publicKey.content'), logged.signer)) {
    throw new Rejection('the Rekor entry is for another signer')
  }
}

/** Whether a PEM text is exactly this signer. */
export function isSigner(pem: Buffer, { label, der }: LoggedSignature['signer']): boolean {
  const match = /^\s*-----BEGIN ([A-Z ]+)-----([\sA-Za-z0-9+/=]+)-----END \1-----\s*$/.exec(pem.toString('latin1'))
  return match?.[1] === label && Buffer.from(match[2] ?? '', 'base64').equals(der)
}
