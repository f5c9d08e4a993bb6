import { describe, expect } from '@jest/globals'
import type { Digest } from '../../src/spec/digest.ts'
import type { SignatureSources } from '../../src/trust/sources.ts'
import type { Ability } from '../helpers/abilities.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { type Ask, ask, INDEX, list, MANIFEST, OTHER } from '../helpers/trust-request.ts'

/** A verifier under test: a requirement of its kind, and evidence that satisfies it. */
export interface VerifierFixture {
  readonly requirement: object
  /** Evidence that is good for an image with this digest. */
  evidence(digest: Digest): Promise<Uint8Array>
  /** Sources in which these pieces of evidence are found for these digests. */
  sources(evidence: Readonly<Record<string, readonly Uint8Array[]>>): SignatureSources
}

/** A way in which every fixture can offer evidence. */
export const offer = (kind: 'signatures' | 'bundles') => (evidence: Readonly<Record<string, readonly Uint8Array[]>>) => ({
  [kind]: (digest: Digest) => list(evidence[digest] ?? []),
})

/** What every verifier promises: see src/trust/verifier.ts. */
export function describeVerifier(name: string, needs: readonly Ability[], fixture: () => VerifierFixture): void {
  const check = (what: string, work: (made: VerifierFixture) => Promise<void>) => testNeeding(needs, what, () => work(fixture()))
  const judge = (made: VerifierFixture, evidence: Record<string, Uint8Array[]>, rest: Partial<Ask> = {}) =>
    ask({ requirements: [made.requirement], sources: made.sources(evidence), ...rest })

  describe(`the ${name} verifier`, () => {
    check('accepts evidence for the manifest, and says so', async (made) => {
      const decision = await judge(made, { [MANIFEST]: [await made.evidence(MANIFEST)] })
      expect(decision).toMatchObject({ accepted: true, signed: true, requirements: [{ accepted: true, verifiedDigest: MANIFEST }] })
    })

    check('accepts evidence for the index through which the manifest was selected, and says so', async (made) => {
      const decision = await judge(made, { [INDEX]: [await made.evidence(INDEX)] }, { indexDigest: INDEX })
      expect(decision).toMatchObject({ accepted: true, signed: true, requirements: [{ verifiedDigest: INDEX }] })
    })

    check('refuses where there is no evidence', async (made) => {
      const decision = await judge(made, {}, { indexDigest: INDEX })
      expect(decision).toMatchObject({ accepted: false, signed: false, requirements: [{ verifiedDigest: undefined, attempts: [] }] })
      expect(decision.requirements[0]?.reason).toMatch(new RegExp(`^no .* exists for ${MANIFEST} or ${INDEX}$`))
    })

    check('refuses evidence for another digest, wherever it is offered', async (made) => {
      const other = await made.evidence(OTHER)
      const decision = await judge(made, { [MANIFEST]: [other], [INDEX]: [other] }, { indexDigest: INDEX })
      expect(decision.accepted).toBe(false)
      expect(decision.requirements[0]?.attempts.map(({ digest }) => digest)).toEqual([MANIFEST, INDEX])
    })

    check('is not put off by evidence that is damaged beside some that is good', async (made) => {
      const good = await made.evidence(MANIFEST)
      const damaged = [
        Buffer.alloc(0),
        Buffer.from('hello'),
        Buffer.from([0x88]),
        Buffer.from(good).subarray(0, -7),
        Buffer.alloc(1000, 0xff),
      ]
      expect((await judge(made, { [MANIFEST]: damaged })).accepted).toBe(false)
      const decision = await judge(made, { [MANIFEST]: [...damaged, good] })
      expect(decision.accepted).toBe(true)
      expect(decision.requirements[0]?.attempts.length).toBeGreaterThan(2)
    })

    check('does not count anything of a source that never ends', async (made) => {
      const good = await made.evidence(MANIFEST)
      const decision = await judge(made, { [MANIFEST]: Array(129).fill(good) })
      expect(decision.accepted).toBe(false)
    })

    check('answers with plain data', async (made) => {
      const decision = await judge(made, { [MANIFEST]: [Buffer.from('hello')] })
      expect(structuredClone(decision)).toEqual(decision)
    })

    check('rejects when a source fails, and when it is aborted', async (made) => {
      const down = new Error('503')
      const failing = Object.fromEntries(Object.keys(made.sources({})).map((kind) => [kind, () => fail(down)]))
      await expect(ask({ requirements: [made.requirement], sources: failing })).rejects.toBe(down)
      const reason = new Error('enough')
      const controller = new AbortController()
      const aborting = Object.fromEntries(Object.keys(made.sources({})).map((kind) => [kind, () => abortWith(controller, reason)]))
      await expect(ask({ requirements: [made.requirement], sources: aborting, signal: controller.signal })).rejects.toBe(reason)
    })
  })
}

function fail(error: Error): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) }
}

async function* abortWith(controller: AbortController, reason: Error): AsyncGenerator<Uint8Array> {
  controller.abort(reason)
  yield Buffer.from('hello')
}
