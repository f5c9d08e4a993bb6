import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { parseSchemaOne, schemaOneConfig, schemaOneDigest, schemaOnePayload } from '../../../src/spec/manifest-v1.ts'

const A = `sha256:${'a'.repeat(64)}` as const
const B = `sha256:${'b'.repeat(64)}` as const
const EMPTY = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4'
const invalid = expect.objectContaining({ code: 'ERR_MANIFEST_INVALID' })

/** Newest first, as registries have it: a label on top of two layers. */
const document = {
  schemaVersion: 1,
  name: 'small',
  tag: '1',
  architecture: 'amd64',
  fsLayers: [{ blobSum: EMPTY }, { blobSum: B }, { blobSum: A }],
  history: [
    {
      v1Compatibility: JSON.stringify({
        id: 'c',
        parent: 'b',
        architecture: 'amd64',
        os: 'linux',
        created: '2024-01-03T00:00:00Z',
        throwaway: true,
        config: { Cmd: ['sh', '-c', 'a && b <c>'] },
        container_config: { Cmd: ['/bin/sh', '-c', '#(nop) LABEL a=b'] },
      }),
    },
    {
      v1Compatibility: JSON.stringify({
        id: 'b',
        parent: 'a',
        created: '2024-01-02T00:00:00Z',
        container_config: { Cmd: ['second'] },
        author: 'me',
      }),
    },
    { v1Compatibility: JSON.stringify({ id: 'a', comment: 'first' }) },
  ],
}
const bytesOf = (value: unknown) => Buffer.from(JSON.stringify(value, undefined, 3))

/** Signs like libtrust does, with a signature that nobody can check. */
function signed(value: unknown, tail = '\n}'): Buffer {
  const text = bytesOf(value).toString()
  const formatLength = text.length - tail.length
  const header = Buffer.from(JSON.stringify({ formatLength, formatTail: Buffer.from(tail).toString('base64url'), time: 'x' })).toString(
    'base64url',
  )
  const signatures = [{ header: {}, signature: 'AA', protected: header }]
  return Buffer.from(`${text.slice(0, formatLength)},\n   "signatures": ${JSON.stringify(signatures)}\n}`)
}

describe('a manifest of schema 1', () => {
  test('lists its layers from the bottom, without those that hold nothing', () => {
    expect(parseSchemaOne({ bytes: bytesOf(document) })).toMatchObject({ blobs: [A, B], architecture: 'amd64', os: 'linux' })
  })

  test('has the digest of what is signed, whoever signed it', () => {
    const unsigned = bytesOf(document)
    const digest = `sha256:${createHash('sha256').update(unsigned).digest('hex')}`
    expect(schemaOneDigest(unsigned)).toBe(digest)
    expect(schemaOneDigest(signed(document))).toBe(digest)
    expect(schemaOnePayload(signed(document)).equals(unsigned)).toBe(true)
    expect(parseSchemaOne({ bytes: signed(document) }).blobs).toEqual([A, B])
  })

  test('is read from its signed part only', () => {
    const both = JSON.parse(signed(document).toString())
    const tampered = signed(document)
      .toString()
      .replace(/\}\s*$/, `,"fsLayers2":1}`)
    expect(parseSchemaOne({ bytes: Buffer.from(tampered) }).blobs).toEqual([A, B])
    expect(both.signatures).toHaveLength(1)
  })

  test('becomes a config with the history in order and the members in the order of their names', () => {
    const config = schemaOneConfig(parseSchemaOne({ bytes: bytesOf(document) }), [A, B]).toString()
    expect(config).toBe(
      '{"architecture":"amd64","config":{"Cmd":["sh","-c","a \\u0026\\u0026 b \\u003cc\\u003e"]},' +
        '"container_config":{"Cmd":["/bin/sh","-c","#(nop) LABEL a=b"]},"created":"2024-01-03T00:00:00Z","history":[' +
        '{"created":"0001-01-01T00:00:00Z","comment":"first"},' +
        '{"created":"2024-01-02T00:00:00Z","author":"me","created_by":"second"},' +
        '{"created":"2024-01-03T00:00:00Z","created_by":"/bin/sh -c #(nop) LABEL a=b","empty_layer":true}],' +
        `"os":"linux","rootfs":{"type":"layers","diff_ids":["${A}","${B}"]}}`,
    )
  })

  test.each([
    ['another version', { ...document, schemaVersion: 2 }],
    ['fewer steps than layers', { ...document, history: document.history.slice(1) }],
    ['no layers', { ...document, fsLayers: [], history: [] }],
    ['a digest that is none', { ...document, fsLayers: [{ blobSum: 'sha256:../x' }, ...document.fsLayers.slice(1)] }],
    ['a step that is no JSON', { ...document, history: [{ v1Compatibility: '{' }, ...document.history.slice(1)] }],
    ['a step that is a list', { ...document, history: [{ v1Compatibility: '[]' }, ...document.history.slice(1)] }],
    ['signatures that are none', { ...document, signatures: [] }],
    ['a signature without a header', { ...document, signatures: [{}] }],
  ])('with %s is refused', (_, value) => {
    expect(() => parseSchemaOne({ bytes: bytesOf(value) })).toThrow(invalid)
  })

  test('whose signatures sign different things is refused', () => {
    const [first] = JSON.parse(signed(document).toString()).signatures as { protected: string }[]
    const other = { ...first, protected: Buffer.from(JSON.stringify({ formatLength: 1, formatTail: 'fQ' })).toString('base64url') }
    expect(() => schemaOnePayload(bytesOf({ ...document, signatures: [first, other] }))).toThrow(invalid)
  })

  test('whose signature signs more than there is is refused', () => {
    const header = Buffer.from(JSON.stringify({ formatLength: 1e9, formatTail: 'fQ' })).toString('base64url')
    expect(() => schemaOnePayload(bytesOf({ ...document, signatures: [{ protected: header }] }))).toThrow(invalid)
  })
})
