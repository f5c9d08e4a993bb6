import { digestOf } from '../../src/spec/digest.ts'
import { parseReference } from '../../src/spec/reference.ts'
import type { CosignSignature } from '../../src/trust/cosign.ts'
import { parsePolicy } from '../../src/trust/policy-parse.ts'
import type { SignatureSources } from '../../src/trust/sources.ts'
import { evaluate, type TrustRequest } from '../../src/trust/trust.ts'
import type { TrustDecision } from '../../src/trust/verifier.ts'
import { cosignAttachment } from './sigstore-signer.ts'

export const NAME = 'registry.test/team/app'
export const REFERENCE = `${NAME}:1`
export const MANIFEST = digestOf('manifest')
export const INDEX = digestOf('index')
export const OTHER = digestOf('other')

/** What a test asks: one or more requirements in policy.json form, and where signatures come from. */
export interface Ask extends Partial<Omit<TrustRequest, 'policy' | 'identity' | 'sources'>> {
  readonly requirements: readonly object[]
  readonly sources?: SignatureSources
  readonly reference?: string
}

/** Evaluates requirements for an image of a registry. */
export function ask({ requirements, sources = {}, reference = REFERENCE, ...rest }: Ask): Promise<TrustDecision> {
  const policy = parsePolicy({ default: requirements })
  return evaluate({
    policy,
    identity: { transport: 'docker', reference: parseReference(reference) },
    manifestDigest: MANIFEST,
    sources,
    ...rest,
  })
}

/** Sources that have these blobs for the digests given, and nothing else. */
export function signatureBlobs(blobs: Readonly<Record<string, readonly Uint8Array[]>>): SignatureSources {
  return { signatures: (digest) => list(blobs[digest] ?? []) }
}

/** Sources that have these cosign signatures for the manifest, and nothing else. */
export function cosignSources(...signatures: readonly CosignSignature[]): SignatureSources {
  return { attachment: async (digest) => (digest === MANIFEST ? cosignAttachment(signatures) : undefined) }
}

/** Sources that have these bundles for the digests given. */
export function bundleSources(bundles: Readonly<Record<string, readonly Uint8Array[]>>): SignatureSources {
  return { bundles: (digest) => list(bundles[digest] ?? []) }
}

export async function* list(items: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* items
}

export function base64(text: string | Uint8Array): string {
  return Buffer.from(text).toString('base64')
}

/** All reasons of a decision in one text. */
export function reasonsOf(decision: TrustDecision): string {
  return decision.requirements.flatMap(({ reason, attempts }) => [reason, ...attempts.map((attempt) => attempt.reason)]).join('\n')
}
