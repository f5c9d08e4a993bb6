import { describe, expect, test } from '@jest/globals'
import { oneImage, wholeImage } from '../../../../src/image/copy/source.ts'
import type { RawManifest } from '../../../../src/spec/descriptor.ts'
import { type Digest, digestOf } from '../../../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../../../src/spec/media-types.ts'
import type { ManifestSource } from '../../../../src/transport/image-source.ts'
import { failure } from '../../../helpers/registry-world.ts'

const { signal } = new AbortController()
const AMD64 = { os: 'linux', architecture: 'amd64' }

function document(mediaType: string, content: object): RawManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }))
  return { mediaType, digest: digestOf(bytes), bytes }
}

const image = (name: string, configType: string = MEDIA_TYPES.ociConfig) =>
  document(MEDIA_TYPES.ociManifest, { config: { mediaType: configType, digest: digestOf(name), size: name.length }, layers: [] })

const index = (listed: readonly RawManifest[], platform: object = AMD64) =>
  document(MEDIA_TYPES.ociIndex, {
    manifests: listed.map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.length, platform })),
  })

/** As a directory or registry gives them: without their types. Counts how often each is read. */
function sourceOf(root: RawManifest, others: readonly RawManifest[]): ManifestSource & { readonly read: Map<Digest, number> } {
  const all = new Map([root, ...others].map((raw) => [raw.digest, raw]))
  const read = new Map<Digest, number>()
  return {
    form: 'manifest',
    names: [],
    read,
    async manifest(digest = root.digest) {
      read.set(digest, (read.get(digest) ?? 0) + 1)
      const found = all.get(digest)
      if (found === undefined) throw new Error('not there')
      return { ...found, mediaType: '' }
    },
    blobBytes: () => Promise.reject(new Error('no blobs')),
    blob: () => Promise.reject(new Error('no blobs')),
  }
}

describe('everything that an index leads to', () => {
  test('is read once, innermost first, whatever it is', async () => {
    const [one, two, artifact] = [image('one'), image('two'), image('attestation', 'application/vnd.in-toto+json')]
    const inner = index([one, two])
    const root = index([inner, two, artifact])
    const source = sourceOf(root, [one, two, artifact, inner])
    const tree = await wholeImage(source, signal)
    expect(tree.root).toEqual(root)
    expect(tree.manifests.map(({ raw, index: through }) => [raw, through?.digest])).toEqual(
      [one, two, artifact].map((raw) => [raw, root.digest]),
    )
    expect(tree.indexes.map(({ raw }) => raw.digest)).toEqual([inner.digest, root.digest])
    expect([...source.read.values()]).toEqual([1, 1, 1, 1, 1])
  })

  test('may be one image, and even no image', async () => {
    const single = image('one')
    expect(await wholeImage(sourceOf(single, []), signal)).toMatchObject({
      root: single,
      manifests: [{ raw: single, index: undefined }],
      indexes: [],
    })
    const empty = index([])
    expect(await wholeImage(sourceOf(empty, []), signal)).toMatchObject({ root: empty, manifests: [], indexes: [{ raw: empty }] })
  })

  test('is refused where it goes too deep or is too much', async () => {
    const levels = [image('one')]
    for (let depth = 0; depth < 5; depth++) levels.unshift(index([levels[0] as RawManifest]))
    const [deep, ...rest] = levels as [RawManifest, ...RawManifest[]]
    expect(await failure(wholeImage(sourceOf(deep, rest), signal))).toMatchObject({ code: 'ERR_MANIFEST_INVALID' })
    const many = index(Array.from({ length: 1001 }, (_, position) => image(`${position}`)))
    expect(await failure(wholeImage(sourceOf(many, []), signal))).toMatchObject({ code: 'ERR_MANIFEST_INVALID' })
  })

  test('must not be of Docker schema 1, which does not say what it holds', async () => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 1, fsLayers: [], history: [], name: 'a', tag: 'b', architecture: 'amd64' }))
    const old = { mediaType: MEDIA_TYPES.dockerManifestV1, digest: digestOf(bytes), bytes }
    expect(await failure(wholeImage(sourceOf(old, []), signal))).toMatchObject({ code: 'ERR_MANIFEST_UNSUPPORTED' })
  })
})

test('one image is that for the platform, with the index that leads to it, typed as what it is', async () => {
  const [one, artifact] = [image('one'), image('artifact', 'application/x')]
  const root = index([one])
  expect(await oneImage(sourceOf(root, [one]), AMD64, signal)).toMatchObject({
    root: one,
    manifests: [{ raw: one, index: { digest: root.digest } }],
    indexes: [],
  })
  expect(await failure(oneImage(sourceOf(root, [one]), { os: 'linux', architecture: 'arm64' }, signal))).toMatchObject({
    code: 'ERR_PLATFORM_MISMATCH',
  })
  expect(await failure(oneImage(sourceOf(artifact, []), AMD64, signal))).toMatchObject({ code: 'ERR_NOT_AN_IMAGE' })
})
