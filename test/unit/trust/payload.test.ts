import { describe, expect, test } from '@jest/globals'
import { parsePayload } from '../../../src/trust/payload.ts'
import { cosignPayload } from '../../helpers/sigstore-signer.ts'
import { MANIFEST, REFERENCE } from '../../helpers/trust-request.ts'

const ATOMIC = 'atomic container signature'
const COSIGN = 'cosign container image signature'
const critical = { type: ATOMIC, image: { 'docker-manifest-digest': MANIFEST }, identity: { 'docker-reference': REFERENCE } }
const text = (document: unknown) => Buffer.from(JSON.stringify(document))

test('a payload gives the digest and the name that were signed', () => {
  const claim = { manifestDigest: MANIFEST, dockerReference: REFERENCE }
  expect(parsePayload(text({ critical, optional: { creator: 'x', timestamp: 1, more: [] } }), ATOMIC)).toEqual(claim)
  expect(parsePayload(cosignPayload(MANIFEST, REFERENCE), COSIGN)).toEqual(claim)
})

describe('a payload is refused', () => {
  test.each<[string, unknown]>([
    ['with a further member at the top', { critical, optional: {}, more: 1 }],
    ['without optional', { critical }],
    ['with a restriction that we do not know', { critical: { ...critical, platform: 'arm' }, optional: {} }],
    ['with a further member of the image', { critical: { ...critical, image: { ...critical.image, x: 1 } }, optional: {} }],
    ['with a further member of the identity', { critical: { ...critical, identity: { ...critical.identity, x: 1 } }, optional: {} }],
    ['of the other type', { critical: { ...critical, type: COSIGN }, optional: {} }],
    ['with no digest', { critical: { ...critical, image: { 'docker-manifest-digest': 'sha256:abc' } }, optional: {} }],
    ['with an empty name', { critical: { ...critical, identity: { 'docker-reference': '' } }, optional: {} }],
    ['with a time that is no integer', { critical, optional: { timestamp: 1.5 } }],
    ['with a creator that is no string', { critical, optional: { creator: 1 } }],
    ['with optional null', { critical, optional: null }],
  ])('%s', (_, document) => {
    expect(() => parsePayload(text(document), ATOMIC)).toThrow(/\(at \$/)
  })

  test('when a member is there twice', () => {
    const twice = JSON.stringify({ critical, optional: {} }).replace('"optional"', `"critical":${JSON.stringify(critical)},"optional"`)
    expect(() => parsePayload(Buffer.from(twice), ATOMIC)).toThrow(/twice/)
  })

  test('when it is not UTF-8', () => {
    expect(() =>
      parsePayload(Buffer.concat([text({ critical, optional: {} }).subarray(0, -1), Buffer.from([0xff, 0x7d])]), ATOMIC),
    ).toThrow()
  })

  test('when anything follows the document', () => {
    expect(() => parsePayload(Buffer.concat([text({ critical, optional: {} }), Buffer.from('{}')]), ATOMIC)).toThrow()
  })
})
