import { expect, test } from '@jest/globals'
import { evidenceFrom } from '../../../src/trust/evidence.ts'
import { Rejection } from '../../../src/trust/rejection.ts'
import { firstAccepted } from '../../../src/trust/verdict.ts'
import { INDEX, MANIFEST } from '../../helpers/trust-request.ts'

const question = {
  reference: undefined,
  digests: [MANIFEST, INDEX],
  evidence: evidenceFrom({}, undefined),
  gpg: {},
  now: new Date(),
  signal: undefined,
}
const search = (check: (item: number) => Promise<string>, rejected: readonly string[] = []) =>
  firstAccepted({ type: 'signedBy', what: 'signature', collect: async () => ({ items: [1, 2, 3, 4], rejected }), check }, question)

test('the first piece of evidence that holds is enough', async () => {
  const verdict = await search(async (item) => {
    if (item < 3) throw new Rejection(`no ${item}`)
    return `yes ${item}`
  })
  expect(verdict).toMatchObject({
    accepted: true,
    reason: 'yes 3',
    verifiedDigest: MANIFEST,
    attempts: [{ reason: 'no 1' }, { reason: 'no 2' }],
  })
})

test('a refusal sums up the first reasons and keeps all of them', async () => {
  const verdict = await search(async (item) => Promise.reject(new Rejection(`no ${item}`)), ['malformed'])
  expect(verdict.reason).toBe('no signature is acceptable: malformed; no 1; no 2; and 2 more reasons')
  expect(verdict.attempts).toHaveLength(10)
})

test('a failure that is no verdict is not taken for one', async () => {
  const failure = new TypeError('a mistake of ours')
  await expect(search(async () => Promise.reject(failure))).rejects.toBe(failure)
})
