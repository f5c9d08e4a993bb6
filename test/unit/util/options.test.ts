import { expect, test } from '@jest/globals'
import { checkChoice, checkOptions } from '../../../src/util/options.ts'

const NAMES = { timeoutMs: true, signal: true } as const

test('options that a verb has are taken, also when they are not set', () => {
  checkOptions('stop', {}, NAMES)
  checkOptions('stop', { timeoutMs: 5, signal: undefined }, NAMES)
})

test('an option that a verb does not have is named, with those that it has', () => {
  expect(() => checkOptions('stop', { timeoutMs: 5, timeout: 0, toString: 1 }, NAMES)).toThrow(
    expect.objectContaining({
      code: 'ERR_INVALID_ARGUMENT',
      message: "unknown option 'timeout', 'toString' of stop: it has timeoutMs, signal",
      details: { verb: 'stop', option: 'timeout', known: ['timeoutMs', 'signal'] },
    }),
  )
})

test('what is no object is no set of options', () => {
  for (const options of [null, 5, 'x'])
    expect(() => checkOptions('stop', options as never, NAMES)).toThrow('the options of stop are an object')
})

test('a value is one of its choices, or left to the default', () => {
  checkChoice('network', undefined, ['none', 'host'])
  checkChoice('network', 'host', ['none', 'host'])
  expect(() => checkChoice('network', 'bridge', ['none', 'host'])).toThrow('invalid network "bridge": choose "none" or "host"')
})
