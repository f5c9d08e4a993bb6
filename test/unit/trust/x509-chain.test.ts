import { describe, expect, test } from '@jest/globals'
import { parsePemCertificates } from '../../../src/trust/x509.ts'
import { verifyCodeSigningChain } from '../../../src/trust/x509-chain.ts'
import {
  type CertificateRequest,
  CODE_SIGNING,
  makeCertificate,
  makeKey,
  SERVER_AUTH,
  type TestCertificate,
} from '../../helpers/x509-issuer.ts'

const DAY = 86_400_000
const now = new Date()
const root = makeCertificate({ subject: 'root', ca: true })
const middle = makeCertificate({ subject: 'middle', ca: { pathLength: 0 }, purposes: [CODE_SIGNING], issuer: root })
const leafOf = (issuer: TestCertificate, change: Partial<CertificateRequest> = {}) =>
  makeCertificate({ subject: 'leaf', purposes: [CODE_SIGNING], emails: ['a@b.test'], issuer, ...change })

interface Try {
  leaf?: TestCertificate
  intermediates?: TestCertificate[]
  roots?: TestCertificate[]
  time?: Date
}

function verify({ leaf = leafOf(middle), intermediates = [middle], roots = [root], time = now }: Try) {
  const parse = (certificate: TestCertificate) =>
    parsePemCertificates(certificate.pem)[0] as ReturnType<typeof parsePemCertificates>[number]
  return verifyCodeSigningChain({ leaf: parse(leaf), intermediates: intermediates.map(parse), roots: roots.map(parse), time }).length
}

test('a path leads from the signer over an intermediate to the root', () => {
  expect(verify({})).toBe(3)
  expect(verify({ leaf: leafOf(root), intermediates: [] })).toBe(2)
})

test.each(['p256', 'p384', 'rsa', 'ed25519'] as const)('a CA with a %s key may vouch', (kind) => {
  const ca = makeCertificate({ subject: 'ca', ca: true, key: makeKey(kind) })
  expect(verify({ leaf: leafOf(ca), roots: [ca], intermediates: [] })).toBe(2)
})

test('another certificate with the name of the issuer does not hide the right one', () => {
  const impostor = makeCertificate({ subject: 'middle', ca: true, issuer: root })
  expect(verify({ intermediates: [impostor, middle] })).toBe(3)
})

describe('there is no path', () => {
  test.each<[string, Try, RegExp]>([
    ['without the root', { roots: [] }, /issuer is unknown/],
    ['without the intermediate', { intermediates: [] }, /issuer is unknown/],
    ['to another root of the same name', { roots: [makeCertificate({ subject: 'root', ca: true })] }, /signature in the path is wrong/],
    ['when the signer signed itself', { leaf: makeCertificate({ subject: 'leaf', purposes: [CODE_SIGNING] }) }, /issuer is unknown/],
    ['over an intermediate that is no CA', over({ subject: 'm', issuer: root }), /not a CA/],
    ['over a CA that may not certify', over({ subject: 'm', ca: true, keyUsage: 0x80, issuer: root }), /not a CA/],
    ['over a CA for servers', over({ subject: 'm', ca: true, purposes: [SERVER_AUTH], issuer: root }), /not one for code signing/],
    ['over an expired intermediate', over({ subject: 'm', ca: true, issuer: root, notAfter: new Date(+now - 1000) }), /was not valid/],
    [
      'over an intermediate of tomorrow',
      over({ subject: 'm', ca: true, issuer: root, notBefore: new Date(+now + DAY / 2) }),
      /was not valid/,
    ],
    [
      'over an intermediate signed with SHA-1',
      over({ subject: 'm', ca: true, issuer: root, hash: 'sha1' }),
      /weak signature|cannot be checked/,
    ],
    [
      'over an intermediate with a critical extension nobody knows',
      over({ subject: 'm', ca: true, issuer: root, extra: [unknown()] }),
      /not understood/,
    ],
    ['to an expired root', toRoot({ notAfter: new Date(+now - 1000) }), /was not valid/],
    ['to a root that is no CA', toRoot({ ca: false }), /not a CA/],
    ['to a root with a short RSA key', toRoot({ key: makeKey('rsa1024') }), /weak RSA key/],
    ['when the signer has expired', { leaf: leafOf(middle, { notAfter: new Date(+now - 1000) }) }, /was not valid/],
    ['when the signer is one for servers', { leaf: leafOf(middle, { purposes: [SERVER_AUTH] }) }, /not one for code signing/],
    ['when the signer has no purpose', { leaf: leafOf(middle, { purposes: [] }) }, /not one for code signing/],
    ['when the key of the signer is not for signatures', { leaf: leafOf(middle, { keyUsage: 0x20 }) }, /must not be used/],
    ['when the signer has a critical extension nobody knows', { leaf: leafOf(middle, { extra: [unknown()] }) }, /not understood/],
    ['at a time after all of it', { time: new Date(+now + 2 * DAY) }, /was not valid/],
    ['at a time before all of it', { time: new Date(+now - 2 * DAY) }, /was not valid/],
  ])('%s', (_, request, reason) => {
    expect(() => verify(request)).toThrow(reason)
  })

  test('over more CAs than one of them allows', () => {
    const below = makeCertificate({ subject: 'below', ca: true, issuer: middle })
    expect(() => verify({ leaf: leafOf(below), intermediates: [middle, below] })).toThrow(/longer than a CA allows/)
  })

  test('in a circle of CAs that vouch for each other, and the search ends', () => {
    const [a, b] = [makeKey(), makeKey()]
    const first = makeCertificate({ subject: 'a', key: a, ca: true, issuer: { subject: 'b', key: b } })
    const second = makeCertificate({ subject: 'b', key: b, ca: true, issuer: { subject: 'a', key: a } })
    expect(() => verify({ leaf: leafOf(first), intermediates: [first, second] })).toThrow(/does not lead to a trusted CA/)
  })

  test('in a thicket of equal names, and the search ends', () => {
    const key = makeKey()
    const thicket = Array.from({ length: 14 }, () => makeCertificate({ subject: 'x', key, ca: true, issuer: { subject: 'x', key } }))
    const leaf = leafOf(thicket[0] as TestCertificate)
    const start = performance.now()
    expect(() => verify({ leaf, intermediates: thicket })).toThrow(/does not lead to a trusted CA/)
    expect(performance.now() - start).toBeLessThan(2000)
  })
})

function over(request: CertificateRequest): Try {
  const intermediate = makeCertificate(request)
  return { leaf: leafOf(intermediate), intermediates: [intermediate] }
}

function toRoot(change: Partial<CertificateRequest>): Try {
  const other = makeCertificate({ subject: 'other root', ca: true, ...change })
  return { leaf: leafOf(other), intermediates: [], roots: [other] }
}

function unknown() {
  return { oid: '1.2.3.4', critical: true, value: Buffer.from([5, 0]) }
}
