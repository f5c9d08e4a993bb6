import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { startTimer, timeLimit } from '../../../src/util/timer.ts'

const DAY_MS = 24 * 3_600_000

beforeEach(() => {
  jest.useFakeTimers()
})
afterEach(() => {
  jest.useRealTimers()
})

test.each([1, 2 ** 31 - 1, 2 ** 31, 100 * DAY_MS])('a timer of %d ms calls back once, then and not before', (ms) => {
  const callback = jest.fn()
  startTimer(ms, callback)
  jest.advanceTimersByTime(Math.max(0, ms - 1))
  expect(callback).toHaveBeenCalledTimes(0)
  jest.advanceTimersByTime(1)
  expect(callback).toHaveBeenCalledTimes(1)
  jest.advanceTimersByTime(100 * DAY_MS)
  expect(callback).toHaveBeenCalledTimes(1)
  expect(jest.getTimerCount()).toBe(0)
})

test('a timer that is stopped, at whatever time, is gone', () => {
  for (const after of [0, 30 * DAY_MS, 60 * DAY_MS]) {
    const callback = jest.fn()
    const timer = startTimer(90 * DAY_MS, callback)
    jest.advanceTimersByTime(after)
    timer.stop()
    expect(jest.getTimerCount()).toBe(0)
    jest.advanceTimersByTime(90 * DAY_MS)
    expect(callback).not.toHaveBeenCalled()
  }
})

test('the signal of a time limit is aborted when the time is over', () => {
  const limit = timeLimit(30 * DAY_MS)
  jest.advanceTimersByTime(30 * DAY_MS - 1)
  expect(limit.signal.aborted).toBe(false)
  jest.advanceTimersByTime(1)
  expect(limit.signal.aborted).toBe(true)
})
