import type { Bundle, BundleWithDsseEnvelope, TransparencyLogEntry } from '@sigstore/bundle'
import { errorMessage } from '../errors/errors.ts'
import { asObject, type JsonObject, parseJson } from './json-shape.ts'
import { TRUST_LIMITS } from './limits.ts'
import { Rejection } from './rejection.ts'

const MAX_CHECKPOINT_LENGTH = 16 << 10
const NUMBER = /^[0-9]{1,19}$/
/** An origin of a log. The sigstore library makes a regular expression of it, so it must not hold an operator. */
const CHECKPOINT_NAME = /^[\w./:-]{1,255}$/

/**
 * Parses a sigstore bundle and bounds everything in it before any of it is computed with: number of entries,
 * length of numbers (a number of a million digits is minutes of arithmetic) and texts that the verifying library
 * uses as patterns.
 *
 * @see https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md
 */
export async function parseBundle(bytes: Buffer): Promise<BundleWithDsseEnvelope> {
  const document = asObject(parseJson(bytes, 'sigstore bundle'), '$')
  boundArrays(document)
  const { bundleFromJSON, isBundleWithDsseEnvelope } = await import('@sigstore/bundle')
  const bundle = attempt('the bundle is malformed', () => bundleFromJSON(document))
  if (!isBundleWithDsseEnvelope(bundle)) throw new Rejection('the bundle holds no signed statement')
  checkEntries(bundle)
  return bundle
}

/** Runs code of the sigstore library: whatever it throws over a stranger's bytes is a reason, not a failure of ours. */
export function attempt<Result>(what: string, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw new Rejection(`${what}: ${errorMessage(error).slice(0, 300)}`)
  }
}

function boundArrays(document: JsonObject): void {
  const material = asObject(document.verificationMaterial, '$.verificationMaterial')
  const timestamps = (material.timestampVerificationData as { rfc3161Timestamps?: unknown } | null | undefined)?.rfc3161Timestamps
  const certificates = (material.x509CertificateChain as { certificates?: unknown } | null | undefined)?.certificates
  for (const [list, most, what] of [
    [material.tlogEntries, TRUST_LIMITS.logEntries, 'transparency log entries'],
    [timestamps, TRUST_LIMITS.logEntries, 'timestamps'],
    [certificates, TRUST_LIMITS.certificates, 'certificates'],
  ] as const) {
    if (Array.isArray(list) && list.length > most) throw new Rejection(`the bundle has more than ${most} ${what}`)
  }
}

function checkEntries(bundle: Bundle): void {
  const seen = new Set<string>()
  for (const entry of bundle.verificationMaterial.tlogEntries) {
    const { inclusionProof: proof } = entry
    const numbers = [entry.logIndex, entry.integratedTime, ...(proof ? [proof.logIndex, proof.treeSize] : [])]
    if (!numbers.every((number) => NUMBER.test(number))) throw new Rejection('the bundle has a malformed log entry')
    // One entry given twice must not count as two.
    const name = `${entry.logId.keyId.toString('hex')}:${entry.logIndex}`
    if (seen.has(name)) throw new Rejection('the bundle has the same log entry twice')
    seen.add(name)
    checkCheckpoint(entry)
  }
}

function checkCheckpoint(entry: TransparencyLogEntry): void {
  const envelope = entry.inclusionProof?.checkpoint?.envelope
  if (envelope === undefined) return
  const names = [...envelope.slice(0, MAX_CHECKPOINT_LENGTH).matchAll(/\u2014 (\S+) /g)].map((match) => match[1] ?? '')
  const size = envelope.split('\n', 2)[1] ?? ''
  if (envelope.length > MAX_CHECKPOINT_LENGTH || !NUMBER.test(size) || !names.every((name) => CHECKPOINT_NAME.test(name))) {
    throw new Rejection('the bundle has a malformed log checkpoint')
  }
}
