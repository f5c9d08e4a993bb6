import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseDuration, parseSize } from '../../../src/util/quantity.ts'

describe('parseSize', () => {
  test.each([
    [0, 0],
    [4096, 4096],
    ['512', 512],
    ['512b', 512],
    ['64k', 65536],
    ['64KiB', 65536],
    ['256m', 268435456],
    ['256MB', 268435456],
    ['1.5g', 1610612736],
    ['2 T', 2199023255552],
    [' 1p ', 1125899906842624],
  ])('reads %p as %p bytes', (text, bytes) => {
    expect(parseSize(text, 'memory')).toBe(bytes)
  })

  test.each(['', 'm', '-1', '1e3', '0x10', '1 000', '1mm', '12q', 'Infinity', '99999999p', -1, 1.5, Number.NaN, Infinity])(
    'refuses %p',
    (value) => {
      expect(() => parseSize(value, 'memory')).toThrow('invalid memory')
    },
  )

  test('gives back every whole number that it is given', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(bytes, 'x') === bytes && parseSize(`${bytes}b`, 'x') === bytes))
  })
})

describe('parseDuration', () => {
  test.each([
    [0, 0],
    ['0', 0],
    [1500, 1500],
    ['30s', 30000],
    ['1m30s', 90000],
    ['1h', 3600000],
    ['250ms', 250],
    ['1.5s', 1500],
    ['2000us', 2],
    ['3000000ns', 3],
  ])('reads %p as %p milliseconds', (text, ms) => {
    expect(parseDuration(text, 'timeout')).toBe(ms)
  })

  test.each(['30', '', 's', '-1s', '1d', '1s ago', '1s 1m', -5, Number.NaN, Infinity])('refuses %p', (value) => {
    expect(() => parseDuration(value, 'timeout')).toThrow('invalid timeout')
  })

  test('says what to write instead', () => {
    expect(() => parseDuration('30', 'stopTimeout')).toThrow(
      "invalid stopTimeout \"30\": give milliseconds as a number, or text with a unit such as '30s' or '1m30s'",
    )
  })
})
