import { deflateRawSync, deflateSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { signedMessagePackets } from '../../../src/trust/openpgp.ts'
import { isRejection } from '../../../src/trust/rejection.ts'

const packet = (tag: number, body: Uint8Array) => Buffer.concat([Buffer.from([0xc0 | tag, body.length]), body])
const onePass = packet(4, Buffer.alloc(13))
const literal = packet(11, Buffer.from('b\0\0\0\0\0text'))
const signature = packet(2, Buffer.alloc(20))
const signed = Buffer.concat([onePass, literal, signature])
/** Old format, to the end of the file: what gpg writes. */
const compressed = (algorithm: number, body: Uint8Array) => Buffer.concat([Buffer.from([0xa3, algorithm]), body])

describe('a message of one signature over one document', () => {
  test.each([
    ['as it is', signed],
    ['in the form of PGP 2', Buffer.concat([signature, literal])],
    ['compressed with ZIP', compressed(1, deflateRawSync(signed))],
    ['compressed with ZLIB', compressed(2, deflateSync(signed))],
    ['in a packet that says it is not compressed', compressed(0, signed)],
    ['with lengths of two octets', Buffer.concat([onePass, Buffer.from([0xcb, 192, 8]), Buffer.alloc(200), signature])],
    ['with lengths of five octets', Buffer.concat([onePass, Buffer.from([0xcb, 255, 0, 0, 0, 3]), Buffer.alloc(3), signature])],
    ['with partial lengths', Buffer.concat([onePass, Buffer.from([0xcb, 0xe1, 1, 2, 0xe0, 3, 1, 4]), signature])],
    ['in the old format', Buffer.concat([onePass, Buffer.from([0xac, 2, 1, 2]), Buffer.from([0x89, 0, 1, 9])])],
  ])('%s', (_, message) => {
    expect(signedMessagePackets(message).length).toBeGreaterThan(0)
  })
})

describe('a message is refused', () => {
  test.each([
    ['that is empty', Buffer.alloc(0)],
    ['of two signed documents', Buffer.concat([signed, signed])],
    ['of a signed and an unsigned document', Buffer.concat([signed, literal])],
    ['of an unsigned and a signed document', Buffer.concat([literal, signed])],
    ['of two documents under one signature', Buffer.concat([onePass, literal, literal, signature])],
    ['of two signatures', Buffer.concat([onePass, onePass, literal, signature, signature])],
    ['of a document without signature', literal],
    ['of a signature without document', signature],
    ['with a comment', Buffer.concat([packet(61, Buffer.alloc(3)), signed])],
    ['with text behind it', Buffer.concat([signed, Buffer.from('{}')])],
    ['with something behind what was compressed', compressed(1, Buffer.concat([deflateRawSync(signed), Buffer.from('{}')]))],
    ['with a message behind what was compressed', compressed(1, Buffer.concat([deflateRawSync(signed), signed]))],
    ['that is compressed twice', compressed(1, deflateRawSync(compressed(1, deflateRawSync(signed))))],
    ['that is compressed in an unknown way', compressed(3, signed)],
    ['whose compression is damaged', compressed(1, Buffer.from('hello'))],
    ['that unpacks to too much', compressed(2, deflateSync(Buffer.alloc(5 << 20)))],
    ['whose length is beyond its end', Buffer.concat([onePass, Buffer.from([0xcb, 200, 200, 1])])],
  ])('%s', (_, message) => {
    expect(() => signedMessagePackets(message)).toThrow()
  })

  test('that is anything else, and never with another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          signedMessagePackets(Buffer.from(bytes))
        } catch (error) {
          expect(isRejection(error)).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
