import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../src/errors/errors.ts'
import { assertDigest, chainId, digestHex, digestOf, isDigest, parseDigest } from '../../../src/spec/digest.ts'

const HEX = 'ab'.repeat(32)

describe('a digest', () => {
  test.each([`sha256:${HEX}`, `sha512:${HEX}${HEX}`])('of the form %s is accepted', (text) => {
    expect(parseDigest(text)).toBe(text)
  })

  test.each([
    'sha256:../../etc/passwd',
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX.toUpperCase()}`,
    `sha512:${HEX}`,
    `md5:${HEX}`,
    `${HEX}`,
    `sha256:${HEX}\n`,
    `constructor:${HEX}`,
    '',
    7,
    null,
  ])('%j is refused (CVE-2024-3727)', (value) => {
    expect(isDigest(value)).toBe(false)
    expect(() => parseDigest(value)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_DIGEST' }))
  })

  test('of known bytes is the known one', () => {
    expect(digestOf('')).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(digestHex(digestOf('', 'sha512'))).toHaveLength(128)
  })

  test('that does not fit says what was expected, what was found and of what', () => {
    try {
      assertDigest(digestOf('a'), Buffer.from('b'), 'the config')
    } catch (error) {
      if (!isPodlibError(error, 'ERR_DIGEST_MISMATCH')) throw error
      return expect(error.details).toEqual({ expected: digestOf('a'), actual: digestOf('b'), what: 'the config' })
    }
    throw new Error('it was accepted')
  })

  test('of a stack of layers follows the image specification', () => {
    const [a, b, c] = [digestOf('a'), digestOf('b'), digestOf('c')]
    expect(chainId([a])).toBe(a)
    expect(chainId([a, b])).toBe(digestOf(`${a} ${b}`))
    expect(chainId([a, b, c])).toBe(digestOf(`${digestOf(`${a} ${b}`)} ${c}`))
  })
})
