import { describe, expect, test } from '@jest/globals'
import { importedFingerprints, signerFingerprint } from '../../../src/trust/gpg-status.ts'

const PRIMARY = 'A'.repeat(40)
const SUBKEY = 'B'.repeat(40)
const GOOD = [
  'PLAINTEXT 62 1795438381 ',
  'PLAINTEXT_LENGTH 277',
  'NEWSIG',
  `KEY_CONSIDERED ${PRIMARY} 0`,
  'GOODSIG BBBBBBBBBBBBBBBB A <a@example.com>',
  `VALIDSIG ${SUBKEY} 2026-11-23 1795438381 0 4 0 22 8 00 ${PRIMARY}`,
]
const status = (lines: readonly string[]) => lines.map((line) => `[GNUPG:] ${line}\n`).join('')
const trusted = new Set([PRIMARY])

test('a good signature is attributed to the primary key of the subkey that made it', () => {
  expect(signerFingerprint(status(GOOD), trusted)).toBe(PRIMARY)
})

test('an import reports the primary keys it added', () => {
  expect(importedFingerprints(status([`IMPORT_OK 1 ${PRIMARY}`, 'IMPORTED x', 'IMPORT_RES 1 0 1']))).toEqual(trusted)
})

describe('a status is refused', () => {
  test.each([
    'BADSIG X y',
    'ERRSIG X 22 8 00 1795438381 9',
    'NO_PUBKEY X',
    'EXPSIG X y',
    'EXPKEYSIG X y',
    'REVKEYSIG X y',
    'NODATA 4',
    'UNEXPECTED 0',
    'BEGIN_DECRYPTION',
    'FAILURE gpg-exit 33554433',
    ...GOOD,
  ])('with %s added', (line) => {
    if (line.startsWith('PLAINTEXT_LENGTH') || line.startsWith('KEY_CONSIDERED')) return
    expect(() => signerFingerprint(status([...GOOD, line]), trusted)).toThrow()
  })

  test.each(['NEWSIG', 'GOODSIG', 'VALIDSIG', 'PLAINTEXT '])('without %s', (keyword) => {
    expect(() => signerFingerprint(status(GOOD.filter((line) => !line.startsWith(keyword))), trusted)).toThrow(/exactly one/)
  })

  test('when another key signed', () => {
    expect(() => signerFingerprint(status(GOOD), new Set([SUBKEY]))).toThrow(/not one of the policy/)
  })

  test.each([
    ['the weak hash MD5', ' 22 1 00 '],
    ['the weak hash SHA-1', ' 22 2 00 '],
    ['a signature over a key', ' 22 8 10 '],
  ])('with %s', (_, fields) => {
    expect(() => signerFingerprint(status(GOOD).replace(' 22 8 00 ', fields), trusted)).toThrow()
  })

  test('when the lines do not come from gpg itself', () => {
    expect(() => signerFingerprint(GOOD.map((line) => `gpg: [GNUPG:] ${line}\n`).join(''), trusted)).toThrow()
    expect(() => signerFingerprint('', trusted)).toThrow()
  })
})
