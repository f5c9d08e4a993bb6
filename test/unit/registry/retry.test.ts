import { describe, expect, test } from '@jest/globals'
import { PodlibError } from '../../../src/errors/errors.ts'
import { backoffMs, delayAfter, isRetryable, isRetryableStatus, parseRetryAfter, sleep, withRetry } from '../../../src/registry/retry.ts'

const POLICY = { attempts: 3, baseDelayMs: 1, maxDelayMs: 60_000 }
const server = (details: Record<string, unknown>) => new PodlibError('ERR_REGISTRY_SERVER', 'x', { details })

test('only statuses that may change are tried again', () => {
  const statuses = [200, 301, 400, 401, 403, 404, 408, 416, 418, 425, 429, 500, 501, 502, 503, 504, 505]
  expect(statuses.filter(isRetryableStatus)).toEqual([408, 425, 429, 500, 502, 503, 504])
})

test.each([
  [server({ status: 503 }), true],
  [server({ status: 501 }), false],
  [new PodlibError('ERR_REGISTRY_UNREACHABLE', 'x', { details: { systemCode: 'ECONNRESET' } }), true],
  [new PodlibError('ERR_REGISTRY_UNREACHABLE', 'x', { details: { systemCode: 'EAI_AGAIN' } }), true],
  [new PodlibError('ERR_REGISTRY_UNREACHABLE', 'x', { details: { systemCode: 'ENOTFOUND' } }), false],
  [new PodlibError('ERR_REGISTRY_DENIED', 'x', { details: { status: 403 } }), false],
  [new PodlibError('ERR_REGISTRY_DENIED', 'x', { details: { status: 403, expiredRedirect: true } }), true],
  [new PodlibError('ERR_DIGEST_MISMATCH', 'x'), false],
  [Object.assign(new Error('x'), { code: 'UND_ERR_BODY_TIMEOUT' }), true],
  [new TypeError('a mistake'), false],
])('%p is worth another try: %s', (error, expected) => {
  expect(isRetryable(error)).toBe(expected)
})

test.each([
  [undefined, undefined],
  ['120', 120_000],
  [' 0 ', 0],
  ['Thu, 01 Jan 1970 00:01:00 GMT', 59_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['soon', undefined],
  ['-5', undefined],
])('Retry-After %j is %p ms', (header, expected) => {
  expect(parseRetryAfter(header, 1000)).toBe(expected)
})

test('the wait doubles up to the cap, with chance in its upper half', () => {
  const policy = { attempts: 9, baseDelayMs: 100, maxDelayMs: 1000 }
  expect([1, 2, 3, 4, 5].map((tries) => backoffMs(policy, tries, () => 1))).toEqual([100, 200, 400, 800, 1000])
  expect(backoffMs(policy, 2, () => 0)).toBe(100)
})

test('what the registry asks for comes before the back-off, within the cap', () => {
  expect(delayAfter(server({ retryAfterMs: 1234 }), POLICY, 1)).toBe(1234)
  expect(delayAfter(server({ retryAfterMs: 3_600_000 }), POLICY, 1)).toBe(60_000)
  expect(delayAfter(undefined, POLICY, 1)).toBeLessThanOrEqual(1)
})

describe('withRetry', () => {
  const failing = (error: unknown, times: number) => {
    let calls = 0
    return { calls: () => calls, work: async () => (++calls <= times ? Promise.reject(error) : calls) }
  }

  test('repeats what is worth it and tells of it', async () => {
    const { work } = failing(server({ status: 500 }), 2)
    const seen: number[] = []
    expect(await withRetry(work, { policy: POLICY, onRetry: (_error, tries) => seen.push(tries) })).toBe(3)
    expect(seen).toEqual([1, 2])
  })

  test('gives up after the last try, and at once on what will not change', async () => {
    const stubborn = failing(server({ status: 500 }), 9)
    await expect(withRetry(stubborn.work, { policy: POLICY })).rejects.toMatchObject({ code: 'ERR_REGISTRY_SERVER' })
    expect(stubborn.calls()).toBe(3)
    const final = failing(new TypeError('a mistake'), 9)
    await expect(withRetry(final.work, { policy: POLICY })).rejects.toThrow('a mistake')
    expect(final.calls()).toBe(1)
  })

  test('gives the reason of an abort, whatever the work failed with', async () => {
    const abort = new AbortController()
    const reason = new Error('enough')
    const work = async () => {
      abort.abort(reason)
      throw server({ status: 500 })
    }
    await expect(withRetry(work, { policy: POLICY, signal: abort.signal })).rejects.toBe(reason)
  })
})

test('sleep ends early, with the reason, and leaves no listener', async () => {
  const abort = new AbortController()
  const reason = new Error('enough')
  const slept = sleep(60_000, abort.signal)
  abort.abort(reason)
  await expect(slept).rejects.toBe(reason)
  await expect(sleep(60_000, abort.signal)).rejects.toBe(reason)
  await sleep(1, new AbortController().signal)
})
