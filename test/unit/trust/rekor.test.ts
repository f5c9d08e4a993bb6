import { describe, expect, test } from '@jest/globals'
import { spkiOf } from '../../../src/trust/public-key.ts'
import { verifyRekorSet } from '../../../src/trust/rekor.ts'
import { rekorSet } from '../../helpers/sigstore-signer.ts'
import { makeCertificate, makeKey, signWith } from '../../helpers/x509-issuer.ts'

const rekor = makeKey()
const key = makeKey()
const payload = Buffer.from('payload')
const signature = signWith(key, payload)
const time = new Date('2026-03-04T05:06:07Z')
const logged = { payload, signature, signer: { label: 'PUBLIC KEY', der: spkiOf(key.publicKey) } } as const
const set = rekorSet({ key: rekor, time }, { payload, signature, signer: { key } })
const verify = (text: string, keys = [rekor.publicKey]) => verifyRekorSet(text, keys, logged)

test('the promise of a trusted log gives the time it saw the signature', () => {
  expect(verify(set)).toEqual(time)
  expect(verify(set, [makeKey().publicKey, rekor.publicKey])).toEqual(time)
})

test('the promise may be for a certificate', () => {
  const certificate = makeCertificate({ subject: 'x', key })
  const text = rekorSet({ key: rekor, time }, { payload, signature, signer: { key, certificate } })
  expect(verifyRekorSet(text, [rekor.publicKey], { payload, signature, signer: { label: 'CERTIFICATE', der: certificate.der } })).toEqual(
    time,
  )
  expect(() => verify(text)).toThrow(/another signer/)
})

describe('a promise is refused', () => {
  const parsed = JSON.parse(set)
  const other = makeKey()
  test.each<[string, string, RegExp]>([
    ['of a log that is not trusted', rekorSet({ key: other }, { payload, signature, signer: { key } }), /not signed by a trusted log/],
    ['for another payload', rekorSet({ key: rekor }, { payload: Buffer.from('x'), signature, signer: { key } }), /another payload/],
    [
      'for another signature',
      rekorSet({ key: rekor }, { payload, signature: signWith(key, payload), signer: { key } }),
      /another signature/,
    ],
    ['for another signer', rekorSet({ key: rekor }, { payload, signature, signer: { key: other } }), /another signer/],
    [
      'whose time was changed',
      JSON.stringify({ ...parsed, Payload: { ...parsed.Payload, integratedTime: 1 } }),
      /not signed by a trusted log/,
    ],
    ['whose index was changed', JSON.stringify({ ...parsed, Payload: { ...parsed.Payload, logIndex: 8 } }), /not signed by a trusted log/],
    ['with a further member', JSON.stringify({ ...parsed, more: 1 }), /unknown member/],
    ['with a further member in the payload', JSON.stringify({ ...parsed, Payload: { ...parsed.Payload, more: 1 } }), /unknown member/],
    ['with a member missing', JSON.stringify({ Payload: parsed.Payload }), /is missing/],
    ['with a member twice', set.replace('{"Signed', '{"Payload":{},"Signed'), /twice/],
    ['that is empty', '', /JSON/],
    ['that is null', 'null', /must be an object/],
  ])('%s', (_, text, reason) => {
    expect(() => verify(text)).toThrow(reason)
  })
})
