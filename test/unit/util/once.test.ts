import { describe, expect, test } from '@jest/globals'
import { once } from '../../../src/util/once.ts'

describe('once', () => {
  test('makes a value on first use, and only then', async () => {
    let made = 0
    const value = once(async () => ++made)
    expect(value.made()).toBeUndefined()
    expect(await Promise.all([value(), value(), value()])).toEqual([1, 1, 1])
    expect(await value.made()).toBe(1)
  })

  test('tries again after a failure', async () => {
    let attempts = 0
    const value = once(async () => {
      if (++attempts === 1) throw new Error('not yet')
      return attempts
    })
    await expect(value()).rejects.toThrow('not yet')
    await expect(value()).resolves.toBe(2)
  })
})
