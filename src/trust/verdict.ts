import type { Digest } from '../spec/digest.ts'
import type { Requirement } from './policy.ts'
import { isRejection } from './rejection.ts'
import type { Collected } from './sources.ts'
import type { Attempt, Question, RequirementVerdict } from './verifier.ts'

/** A verdict that no signature was needed for. */
export function plainVerdict(type: Requirement['type'], accepted: boolean, reason: string): RequirementVerdict {
  return { type, accepted, reason, verifiedDigest: undefined, attempts: [] }
}

/** What {@link firstAccepted} goes through. */
export interface Search<Item> {
  readonly type: Requirement['type']
  /** What the evidence is called when there is none. */
  readonly what: string
  readonly collect: (digest: Digest) => Promise<Collected<Item>>
  /** Says who signed, or throws a Rejection. */
  readonly check: (item: Item, digest: Digest) => Promise<string>
}

/** Tries every piece of evidence for the manifest, then for the index: one that holds is enough. */
export async function firstAccepted<Item>(search: Search<Item>, question: Question): Promise<RequirementVerdict> {
  const attempts: Attempt[] = []
  for (const digest of question.digests) {
    const { items, rejected } = await search.collect(digest)
    attempts.push(...rejected.map((reason) => ({ digest, reason })))
    for (const item of items) {
      question.signal?.throwIfAborted()
      try {
        const reason = await search.check(item, digest)
        return { type: search.type, accepted: true, reason, verifiedDigest: digest, attempts }
      } catch (error) {
        if (!isRejection(error)) throw error
        attempts.push({ digest, reason: error.message })
      }
    }
  }
  return { type: search.type, accepted: false, reason: summarise(search.what, attempts, question), verifiedDigest: undefined, attempts }
}

const SHOWN_REASONS = 3

function summarise(what: string, attempts: readonly Attempt[], question: Question): string {
  if (attempts.length === 0) return `no ${what} exists for ${question.digests.join(' or ')}`
  const reasons = [...new Set(attempts.map((attempt) => attempt.reason))]
  const more = reasons.length > SHOWN_REASONS ? `; and ${reasons.length - SHOWN_REASONS} more reasons` : ''
  return `no ${what} is acceptable: ${reasons.slice(0, SHOWN_REASONS).join('; ')}${more}`
}
