import { getEventListeners } from 'node:events'
import { expect, test } from '@jest/globals'
import { backOff, delay } from '../../../src/util/delay.ts'

test('a delay ends with its time or with the reason of its signal, and leaves no listener', async () => {
  const abort = new AbortController()
  await delay(1, abort.signal)
  const waiting = delay(60_000, abort.signal)
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1)
  abort.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(delay(1, abort.signal)).rejects.toThrow('enough')
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
})

test('the pauses between tries grow up to a bound', () => {
  for (let attempt = 0; attempt < 2000; attempt += 7) {
    const pause = backOff(attempt, 1, 50)
    expect(pause).toBeGreaterThan(0.4)
    expect(pause).toBeLessThanOrEqual(50)
  }
  expect(backOff(2000, 1, 50)).toBeGreaterThanOrEqual(25)
})
