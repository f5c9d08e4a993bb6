import { expect, test } from '@jest/globals'
import { formatStored, parseSignatureBlob } from '../../../src/trust/signature-blob.ts'
import { base64 } from '../../helpers/trust-request.ts'

const MIME = 'application/vnd.dev.cosign.simplesigning.v1+json'
const typed = (format: string, content: string | Buffer) => Buffer.concat([Buffer.from(`\0${format}\n`), Buffer.from(content)])
const stored = (document: unknown) => typed('sigstore-json', JSON.stringify(document))

test.each([0xa3, 0xc8, 0x90, 0xc4, 0x88, 0xc2])('a blob that begins with octet %d is an OpenPGP message', (octet) => {
  const message = Buffer.from([octet, 1, 2])
  expect(parseSignatureBlob(message)).toEqual({ kind: 'simple-signing', message })
  expect(parseSignatureBlob(typed('simple-signing', message))).toEqual({ kind: 'simple-signing', message })
})

test('a stored sigstore signature has payload and annotations', () => {
  const blob = parseSignatureBlob(stored({ mimeType: MIME, payload: base64('p'), annotations: { a: 'b' } }))
  expect(blob).toEqual({ kind: 'sigstore', signature: { payload: Buffer.from('p'), annotations: new Map([['a', 'b']]) } })
})

test('a sigstore signature is stored as it is read, annotations without text too', () => {
  const signature = {
    payload: Buffer.from('p'),
    annotations: new Map([['a', '']]),
  }
  expect(parseSignatureBlob(formatStored(signature))).toEqual({ kind: 'sigstore', signature })
})

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['armour', Buffer.from('-----BEGIN PGP MESSAGE-----')],
  ['text', Buffer.from('{"critical":{}}')],
  ['a public key', Buffer.from([0x99, 1])],
  ['literal data without signature', Buffer.from([0xcb, 1])],
  ['encrypted data', Buffer.from([0xd2, 1])],
  ['an unknown format', typed('x', 'y')],
  ['a format without end', Buffer.from(`\0${'x'.repeat(100)}\n`)],
  ['a typed message that is none', typed('simple-signing', 'text')],
  ['a typed message that is empty', typed('simple-signing', '')],
  ['another type of sigstore signature', stored({ mimeType: 'x', payload: base64('p'), annotations: {} })],
  ['annotations that are no strings', stored({ mimeType: MIME, payload: base64('p'), annotations: { a: 1 } })],
  ['a payload that is not base64', stored({ mimeType: MIME, payload: '?', annotations: {} })],
  ['a further member', stored({ mimeType: MIME, payload: base64('p'), annotations: {}, x: 1 })],
])('%s is no signature', (_, blob) => {
  expect(() => parseSignatureBlob(blob)).toThrow()
})
