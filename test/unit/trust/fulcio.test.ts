import { describe, expect, test } from '@jest/globals'
import { type FulcioTrust, verifyFulcio } from '../../../src/trust/fulcio.ts'
import { type PkiTrust, verifyPki } from '../../../src/trust/pki.ts'
import { parseCaFile } from '../../../src/trust/x509.ts'
import { type CertificateRequest, CODE_SIGNING, makeCertificate } from '../../helpers/x509-issuer.ts'

const EMAIL = 'ci@example.test'
const ISSUER = 'https://accounts.test'
const MINUTE = 60_000
const now = new Date()
const root = makeCertificate({ subject: 'root', ca: true })
const middle = makeCertificate({ subject: 'middle', ca: true, issuer: root })
const chain = middle.pem + root.pem

function leaf(change: Partial<CertificateRequest> = {}): string {
  const standard = { notBefore: new Date(+now - MINUTE), notAfter: new Date(+now + 9 * MINUTE), oidcIssuer: ISSUER, oidcIssuerV1: ISSUER }
  return makeCertificate({ subject: '', purposes: [CODE_SIGNING], emails: [EMAIL], issuer: middle, ...standard, ...change }).pem
}

describe('a Fulcio certificate', () => {
  const trust: FulcioTrust = { roots: parseCaFile(root.pem), oidcIssuer: ISSUER, subjectEmail: EMAIL }
  const verify = (certificate: string, change: { chain?: string | undefined; time?: Date } = {}) =>
    verifyFulcio({ certificate, chain: 'chain' in change ? change.chain : chain }, trust, change.time ?? now)

  test('is accepted for the right subject and issuer, at the time of the log', () => {
    expect(verify(leaf()).asymmetricKeyType).toBe('ec')
  })

  test('states its issuer in the new form, the old one, or both', () => {
    expect(() => [verify(leafOf({ oidcIssuerV1: ISSUER })), verify(leafOf({ oidcIssuer: ISSUER }))]).not.toThrow()
  })

  test.each<[string, string, RegExp]>([
    ['of another subject', leaf({ emails: ['x@example.test'] }), /given to "x@example.test"/],
    ['whose subject differs in case', leaf({ emails: ['CI@example.test'] }), /given to/],
    ['of two subjects', leaf({ emails: [EMAIL, 'x@example.test'] }), /exactly one e-mail/],
    ['of a subject and a URI', leaf({ uris: ['https://x.test'] }), /exactly one e-mail/],
    ['of no subject', leaf({ emails: [] }), /exactly one e-mail/],
    ['of a URI that looks like the address', leaf({ emails: [], uris: [EMAIL] }), /exactly one e-mail/],
    ['whose subject hides behind a NUL', leaf({ emails: [`${EMAIL}\0.evil.test`] }), /not ASCII|malformed/],
    [
      'of another issuer',
      leaf({ oidcIssuer: 'https://evil.test', oidcIssuerV1: 'https://evil.test' }),
      /for the issuer "https:\/\/evil.test"/,
    ],
    ['of two issuers', leaf({ oidcIssuerV1: 'https://evil.test' }), /two issuers/],
    ['of no issuer', leafOf({}), /names no OIDC issuer/],
    ['that comes as two', leaf() + leaf(), /more than one signer/],
    ['that is none', 'hello', /not PEM/],
    ['that is empty', '', /no certificate/],
    ['with text around it', `x\n${leaf()}`, /not PEM/],
  ])('%s is refused', (_, certificate, reason) => {
    expect(() => verify(certificate)).toThrow(reason)
  })

  test('is refused when the log saw it before or after its minutes', () => {
    expect(() => verify(leaf(), { time: new Date(+now + 10 * MINUTE) })).toThrow(/was not valid/)
    expect(() => verify(leaf(), { time: new Date(+now - 2 * MINUTE) })).toThrow(/was not valid/)
  })

  test('is not trusted because of a root that it brings along', () => {
    const [evilRoot] = [makeCertificate({ subject: 'root', ca: true })]
    const evilMiddle = makeCertificate({ subject: 'middle', ca: true, issuer: evilRoot })
    const certificate = leaf({ issuer: evilMiddle })
    expect(() => verify(certificate, { chain: evilMiddle.pem + evilRoot.pem })).toThrow(/does not lead to a trusted CA/)
  })

  test('is refused without its intermediate, or with too many', () => {
    expect(() => verify(leaf(), { chain: undefined })).toThrow(/issuer is unknown/)
    expect(() => verify(leaf(), { chain: root.pem })).toThrow(/issuer is unknown/)
    expect(() => verify(leaf(), { chain: middle.pem })).toThrow(/issuer is unknown/)
    expect(() => verify(leaf(), { chain: middle.pem.repeat(17) + root.pem })).toThrow(/more than 16/)
  })
})

describe("a certificate of one's own CA", () => {
  const trust = (change: Partial<PkiTrust> = {}): PkiTrust => ({
    roots: parseCaFile(`# the CA\n${root.pem}`),
    intermediates: parseCaFile(middle.pem),
    subjectEmail: EMAIL,
    subjectHostname: undefined,
    ...change,
  })
  const verify = (certificate: string, change: Partial<PkiTrust> = {}, time = now) =>
    verifyPki({ certificate, chain: undefined }, trust(change), time)

  test('is accepted for an e-mail address, a host, or both', () => {
    const both = leaf({ hosts: ['build.example.test'] })
    expect(() => verify(both)).not.toThrow()
    expect(() => verify(both, { subjectEmail: undefined, subjectHostname: 'build.example.test' })).not.toThrow()
    expect(() => verify(both, { subjectHostname: 'build.example.test' })).not.toThrow()
    expect(() => verify(leaf({ hosts: ['*.example.test'] }), { subjectHostname: 'build.example.test' })).not.toThrow()
  })

  test('is refused when one of the two does not match', () => {
    expect(() => verify(leaf({ hosts: ['evil.test'] }), { subjectHostname: 'build.example.test' })).toThrow(/does not name the host/)
    expect(() => verify(leaf({ emails: ['x@y.test'], hosts: ['build.example.test'] }), { subjectHostname: 'build.example.test' })).toThrow(
      /e-mail/,
    )
  })

  test('does not take the common name for a host', () => {
    const named = leaf({ subject: 'build.example.test' })
    expect(() => verify(named, { subjectEmail: undefined, subjectHostname: 'build.example.test' })).toThrow(/does not name the host/)
  })

  test('is refused once it has expired, whenever it signed', () => {
    expect(() => verify(leaf(), {}, new Date(+now + 10 * MINUTE))).toThrow(/was not valid/)
  })
})

function leafOf(issuers: { oidcIssuer?: string; oidcIssuerV1?: string }): string {
  return makeCertificate({ subject: '', purposes: [CODE_SIGNING], emails: [EMAIL], issuer: middle, ...issuers }).pem
}
