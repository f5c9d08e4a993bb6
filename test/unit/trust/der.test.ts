import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { derBoolean, derChildren, derOid, derSmallInteger, readDer } from '../../../src/trust/der.ts'
import { isRejection } from '../../../src/trust/rejection.ts'
import { parseCertificate } from '../../../src/trust/x509.ts'
import { der, derOidOf, makeCertificate } from '../../helpers/x509-issuer.ts'

test('elements of any length are read back', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (contents) => {
      const children = derChildren(readDer(der(0x30, ...contents.map((content) => der(0x04, content))), 0x30))
      expect(children.map(({ content }) => [...content])).toEqual(contents.map((content) => [...content]))
    }),
  )
})

test.each(['1.2.840.113549.1.1.11', '2.5.29.17', '1.3.6.1.4.1.57264.1.8', '0.9.2342'])('object identifier %s', (oid) => {
  expect(derOid(readDer(derOidOf(oid)))).toBe(oid)
})

describe('what is not DER is refused', () => {
  test.each([
    ['nothing', ''],
    ['a cut header', '30'],
    ['a cut content', '300401'],
    ['trailing bytes', '040101ff'],
    ['an indefinite length', '3080040101'],
    ['a length that is not minimal', '04810101'],
    ['a long length that is not minimal', '0482000101'],
    ['a length of five octets', '0485000000000101'],
    ['a long tag', '1f0101'],
  ])('%s', (_, hex) => {
    expect(() => readDer(Buffer.from(hex, 'hex'))).toThrow(/malformed certificate/)
  })

  test('a boolean other than 00 and FF, a negative integer, a padded object identifier', () => {
    expect(() => derBoolean(readDer(Buffer.from('010101', 'hex')))).toThrow()
    expect(() => derSmallInteger(readDer(Buffer.from('0201ff', 'hex')))).toThrow()
    expect(() => derOid(readDer(Buffer.from('0603808001', 'hex')))).toThrow()
    expect(() => derOid(readDer(Buffer.from('060281', 'hex').subarray(0, 3)))).toThrow()
  })

  test('any change of a certificate is refused or leaves one that can be read, never another error', () => {
    const { der: certificate } = makeCertificate({ subject: 'x', emails: ['a@b.test'], oidcIssuer: 'https://issuer' })
    fc.assert(
      fc.property(fc.nat(certificate.length - 1), fc.integer({ min: 0, max: 255 }), (place, octet) => {
        const changed = Buffer.from(certificate)
        changed[place] = octet
        try {
          parseCertificate(changed)
        } catch (error) {
          expect(isRejection(error)).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})
