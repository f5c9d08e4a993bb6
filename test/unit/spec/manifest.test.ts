import { describe, expect, test } from '@jest/globals'
import type { RawManifest } from '../../../src/spec/descriptor.ts'
import { digestOf } from '../../../src/spec/digest.ts'
import { assertLayerCount, assertRunnableImage, parseManifest } from '../../../src/spec/manifest.ts'
import { MEDIA_TYPES } from '../../../src/spec/media-types.ts'

const D = digestOf('x')
const CONFIG = { mediaType: MEDIA_TYPES.ociConfig, digest: D, size: 1 }
const LAYER = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: D, size: 10 }
const IMAGE = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: CONFIG, layers: [LAYER] }
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest: D, size: 3 }] }

function raw(document: unknown, mediaType = ''): RawManifest {
  const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document))
  return { mediaType, digest: digestOf(bytes), bytes }
}
const without = (document: object, ...keys: string[]) => Object.fromEntries(Object.entries(document).filter(([key]) => !keys.includes(key)))

describe('parseManifest', () => {
  test('reads an image manifest and an index', () => {
    expect(parseManifest(raw(IMAGE, MEDIA_TYPES.ociManifest))).toEqual({ kind: 'image', manifest: IMAGE })
    expect(parseManifest(raw(INDEX, MEDIA_TYPES.ociIndex))).toEqual({ kind: 'index', index: INDEX })
  })

  test.each([
    ['the header', without(IMAGE, 'mediaType'), `${MEDIA_TYPES.dockerManifest}; charset=utf-8`, MEDIA_TYPES.dockerManifest],
    ['its mediaType when the header is made up', IMAGE, 'text/plain', MEDIA_TYPES.ociManifest],
    ['an OCI config', without(IMAGE, 'mediaType'), 'application/json', MEDIA_TYPES.ociManifest],
    [
      'a Docker config',
      { ...without(IMAGE, 'mediaType'), config: { ...CONFIG, mediaType: MEDIA_TYPES.dockerConfig } },
      '',
      MEDIA_TYPES.dockerManifest,
    ],
    ['its manifests', without(INDEX, 'mediaType'), '', MEDIA_TYPES.ociIndex],
  ])('tells the type by %s', (_by, document, header, expected) => {
    const parsed = parseManifest(raw(document, header))
    expect(parsed.kind === 'image' ? parsed.manifest.mediaType : parsed.index.mediaType).toBe(expected)
  })

  test.each([
    ['schema 1 by version', { schemaVersion: 1, fsLayers: [], history: [] }, ''],
    ['schema 1 by header', { schemaVersion: 1, fsLayers: [], history: [], signatures: [] }, MEDIA_TYPES.dockerManifestV1Signed],
  ])('names Docker %s as unsupported', (_name, document, header) => {
    expect(() => parseManifest(raw(document, header))).toThrow(expect.objectContaining({ code: 'ERR_MANIFEST_UNSUPPORTED' }))
  })

  test.each([
    ['image and index at once', { ...IMAGE, manifests: [] }],
    ['an index with layers', { ...INDEX, layers: [] }],
    ['an index with fsLayers', { ...INDEX, fsLayers: [] }],
    ['a schema 1 manifest with layers', { schemaVersion: 1, fsLayers: [], history: [], layers: [] }],
    ['a case variant of a member', { ...IMAGE, Manifests: [] }],
    ['a case variant with a long s', { ...IMAGE, 'manife\u017fts': [] }],
    ['duplicate layers', JSON.stringify(IMAGE).replace('"layers"', '"layers":[],"layers"')],
    ['duplicate digests in a descriptor', JSON.stringify(IMAGE).replace('"digest"', `"Digest":"${D}","digest"`)],
    ['schemaVersion 3', { ...IMAGE, schemaVersion: 3 }],
    ['no schemaVersion', without(IMAGE, 'schemaVersion')],
    ['a mediaType of its own', { ...IMAGE, mediaType: 'application/x-mine' }],
    ['a mediaType that contradicts it', { ...IMAGE, mediaType: MEDIA_TYPES.dockerList }],
    ['no config', without(IMAGE, 'config')],
    ['layers that are no list', { ...IMAGE, layers: {} }],
    ['a negative size', { ...IMAGE, layers: [{ ...LAYER, size: -1 }] }],
    ['a size that is no integer', { ...IMAGE, layers: [{ ...LAYER, size: 1.5 }] }],
    ['a size beyond 2^53', { ...IMAGE, layers: [{ ...LAYER, size: 2 ** 60 }] }],
    ['a size as text', { ...IMAGE, layers: [{ ...LAYER, size: '1' }] }],
    ['urls that are no strings', { ...IMAGE, layers: [{ ...LAYER, urls: [1] }] }],
    ['annotations that are no strings', { ...IMAGE, annotations: { a: 1 } }],
    ['a platform that is text', { ...INDEX, manifests: [{ ...LAYER, platform: 'linux' }] }],
    ['an array', []],
    ['null', null],
    ['no JSON', '<html>'],
    ['nothing', ''],
  ])('refuses %s', (_name, document) => {
    expect(() => parseManifest(raw(document))).toThrow(expect.objectContaining({ code: 'ERR_MANIFEST_INVALID' }))
  })

  test('refuses a list sent as an image and the other way round', () => {
    for (const [document, header] of [
      [INDEX, MEDIA_TYPES.ociManifest],
      [IMAGE, MEDIA_TYPES.dockerList],
      [IMAGE, MEDIA_TYPES.dockerManifestV1],
    ] as const) {
      expect(() => parseManifest(raw(without(document, 'mediaType'), header))).toThrow(
        expect.objectContaining({ code: 'ERR_MANIFEST_INVALID' }),
      )
    }
  })

  test('keeps urls, annotations, platform, subject and artifactType of descriptors', () => {
    const manifests = [
      {
        ...LAYER,
        urls: ['https://example.com/x'],
        annotations: { a: 'b', A: 'c' },
        artifactType: 'x/y',
        platform: { os: 'Linux', architecture: 'aarch64', variant: 'v8' },
      },
    ]
    const parsed = parseManifest(raw({ ...INDEX, manifests, subject: CONFIG, artifactType: 'a/b' }))
    expect(parsed).toEqual({
      kind: 'index',
      index: {
        ...INDEX,
        subject: CONFIG,
        artifactType: 'a/b',
        manifests: [{ ...manifests[0], platform: { os: 'linux', architecture: 'arm64' } }],
      },
    })
  })
})

describe('assertRunnableImage', () => {
  const check = (document: unknown) => {
    const parsed = parseManifest(raw(document))
    if (parsed.kind === 'image') assertRunnableImage(parsed.manifest)
  }

  test('passes an image', () => expect(check(IMAGE)).toBeUndefined())

  test('names the type of an artifact', () => {
    const artifact = { ...IMAGE, artifactType: 'application/vnd.example', config: { ...CONFIG, mediaType: MEDIA_TYPES.ociEmpty } }
    expect(() => check(artifact)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_AN_IMAGE', details: { artifactType: 'application/vnd.example' } }),
    )
  })

  test('takes a signature or attestation with an image config for an artifact', () => {
    expect(() => check({ ...IMAGE, layers: [{ ...LAYER, mediaType: MEDIA_TYPES.cosignSignature }] })).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_AN_IMAGE', details: { artifactType: MEDIA_TYPES.cosignSignature } }),
    )
  })

  test('names an encrypted layer', () => {
    expect(() => check({ ...IMAGE, layers: [{ ...LAYER, mediaType: `${LAYER.mediaType}+encrypted` }] })).toThrow(
      expect.objectContaining({ code: 'ERR_LAYER_ENCRYPTED' }),
    )
  })

  test('compares the number of layers with the diff IDs of the config', () => {
    const parsed = parseManifest(raw(IMAGE))
    if (parsed.kind !== 'image') throw new Error('an image was expected')
    const config = (diff_ids: (typeof D)[]) => ({ rootfs: { type: 'layers' as const, diff_ids } })
    expect(() => assertLayerCount(parsed.manifest, config([D]))).not.toThrow()
    expect(() => assertLayerCount(parsed.manifest, config([D, D]))).toThrow('1 layers but its config')
  })
})
