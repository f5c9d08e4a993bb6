import type { BundleWithDsseEnvelope } from '@sigstore/bundle'
import { asBase64, asNonEmptyArray, asObject, at, type JsonObject, parseJson } from './json-shape.ts'
import { Rejection } from './rejection.ts'
import { isSigner, type LoggedSignature } from './rekor.ts'

/**
 * Checks that every log entry of a bundle is about its signer. The sigstore library compares signature and payload
 * of an entry with those of the bundle, but not whose key the entry names (CVE-2026-22703).
 */
export function checkLogSigners(bundle: BundleWithDsseEnvelope, signer: LoggedSignature['signer']): void {
  for (const { canonicalizedBody } of bundle.verificationMaterial.tlogEntries) {
    const body = asObject(parseJson(canonicalizedBody, 'log entry'), '$')
    const kind = `${String(body.kind).slice(0, 40)} ${String(body.apiVersion).slice(0, 40)}`
    const names = SIGNER_OF[kind]
    if (!names) throw new Rejection(`the bundle has a log entry of the unknown kind ${JSON.stringify(kind)}`)
    if (!names(asObject(body.spec, '$.spec'), signer)) throw new Rejection('the bundle has a log entry for another signer')
  }
}

type Compare = (spec: JsonObject, signer: LoggedSignature['signer']) => boolean

const SIGNER_OF: Readonly<Record<string, Compare>> = {
  // Rekor v1: spec.signatures[0].verifier is PEM in base64.
  'dsse 0.0.1': (spec, signer) => isSigner(asBase64(onlySignature(spec, '$.spec').verifier, '$.spec.signatures[0].verifier'), signer),
  // Rekor v1, older clients: the whole envelope, its key as PEM in base64.
  'intoto 0.0.2': (spec, signer) => {
    const envelope = asObject(asObject(spec.content, '$.spec.content').envelope, '$.spec.content.envelope')
    return isSigner(
      asBase64(onlySignature(envelope, '$.spec.content.envelope').publicKey, '$.spec.content.envelope.signatures[0].publicKey'),
      signer,
    )
  },
  // Rekor v2: spec.dsseV002.signatures[0].verifier holds the DER of one of the two.
  'dsse 0.0.2': (spec, signer) => {
    const verifier = asObject(
      onlySignature(asObject(spec.dsseV002, '$.spec.dsseV002'), '$.spec.dsseV002').verifier,
      '$.spec.dsseV002.signatures[0].verifier',
    )
    const member = signer.label === 'CERTIFICATE' ? 'x509Certificate' : 'publicKey'
    const holder = asObject(verifier[member], `$.spec.dsseV002.signatures[0].verifier.${member}`)
    return asBase64(holder.rawBytes, `$.spec.dsseV002.signatures[0].verifier.${member}.rawBytes`).equals(signer.der)
  },
}

function onlySignature(holder: JsonObject, path: string): JsonObject {
  const signatures = asNonEmptyArray(holder.signatures, at(path, 'signatures'))
  if (signatures.length !== 1) throw new Rejection('must have exactly one entry', at(path, 'signatures'))
  return asObject(signatures[0], at(at(path, 'signatures'), 0))
}
