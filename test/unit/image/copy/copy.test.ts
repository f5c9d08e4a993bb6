import { describe, expect, test } from '@jest/globals'
import { copyBlob, copyBlobs, provenBytes } from '../../../../src/image/copy/blobs.ts'
import { convertIndex, dockerType, isForeignLayer, ociType, writeManifest } from '../../../../src/image/copy/convert.ts'
import { convertTree } from '../../../../src/image/copy/convert-tree.ts'
import { formatDestination, parseDestination } from '../../../../src/image/copy/destination.ts'
import { bundleReferrer, noPlaceFor, signatureKind } from '../../../../src/image/copy/signatures.ts'
import type { CopyTree } from '../../../../src/image/copy/source.ts'
import { type Digest, digestOf } from '../../../../src/spec/digest.ts'
import { parseManifest } from '../../../../src/spec/manifest.ts'
import { MEDIA_TYPES } from '../../../../src/spec/media-types.ts'
import type { BlobToPut, ImageDestination } from '../../../../src/transport/image-destination.ts'
import { collect, failure } from '../../../helpers/registry-world.ts'

const bytes = (text: string) => Buffer.from(text)
const blobOf = (text: string, mediaType: string = MEDIA_TYPES.dockerLayerGzip) => ({ mediaType, digest: digestOf(text), size: text.length })
const docker = (layer: string) =>
  writeManifest('v2s2', { config: blobOf('config', MEDIA_TYPES.ociConfig), layers: [blobOf(layer, MEDIA_TYPES.ociLayerGzip)] })
const parsed = (raw: ReturnType<typeof docker>) => {
  const result = parseManifest(raw)
  if (result.kind !== 'image') throw new Error('no image')
  return result.manifest
}

describe('a manifest of one form in the other', () => {
  test('names the same blobs by the types of its form', () => {
    const raw = docker('layer')
    expect(JSON.parse(raw.bytes.toString())).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.dockerManifest,
      config: blobOf('config', MEDIA_TYPES.dockerConfig),
      layers: [blobOf('layer')],
    })
    const back = writeManifest('oci', { ...parsed(raw), annotations: { a: 'b' } })
    expect(back).toMatchObject({ mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(back.bytes) })
    expect(JSON.parse(back.bytes.toString())).toMatchObject({
      layers: [blobOf('layer', MEDIA_TYPES.ociLayerGzip)],
      annotations: { a: 'b' },
    })
  })

  test('leaves types that only one form knows, and knows layers that are not for registries', () => {
    for (const type of [
      MEDIA_TYPES.dockerLayer,
      MEDIA_TYPES.dockerForeignLayer,
      MEDIA_TYPES.dockerForeignLayerGzip,
      MEDIA_TYPES.dockerConfig,
    ])
      expect(dockerType(ociType(type))).toBe(type)
    expect([ociType('x/y'), dockerType('x/y')]).toEqual(['x/y', 'x/y'])
    const types = [MEDIA_TYPES.dockerForeignLayerGzip, 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', MEDIA_TYPES.ociLayer]
    expect(types.map((mediaType) => isForeignLayer({ mediaType }))).toEqual([true, true, false])
  })

  test('takes the list along, with everything else that it says', () => {
    const [one, two] = [docker('one'), docker('two')]
    const entries = [one, two].map(({ digest, mediaType, bytes: { length } }, position) => ({
      ...{ digest, mediaType, size: length },
      platform: { os: 'windows', architecture: 'amd64', 'os.version': `10.${position}` },
    }))
    const listBytes = bytes(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.dockerList, manifests: entries }))
    const list = { mediaType: MEDIA_TYPES.dockerList, digest: digestOf(listBytes), bytes: listBytes }
    const index = parseManifest(list)
    if (index.kind !== 'index') throw new Error('no index')
    const tree: CopyTree = {
      root: list,
      manifests: [one, two].map((raw) => ({ raw, manifest: parsed(raw), index: list })),
      indexes: [{ raw: list, index: index.index }],
    }
    const { root, manifests } = convertTree(tree)
    expect(JSON.parse(root.bytes.toString())).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: manifests.map(({ raw }, position) => ({
        ...{ mediaType: MEDIA_TYPES.ociManifest, digest: raw.digest, size: raw.bytes.length },
        platform: { os: 'windows', architecture: 'amd64', 'os.version': `10.${position}` },
      })),
    })
    expect(convertIndex(list, new Map()).mediaType).toBe(MEDIA_TYPES.ociIndex)
  })

  test('is the very same where it is of that form already', () => {
    const raw = writeManifest('oci', { config: blobOf('config', MEDIA_TYPES.ociConfig), layers: [] })
    const tree: CopyTree = { root: raw, manifests: [{ raw, manifest: parsed(raw), index: undefined }], indexes: [] }
    expect(convertTree(tree)).toBe(tree)
  })
})

describe('a destination', () => {
  test.each([
    ['q.test/team/app', 'q.test/team/app:latest'],
    ['docker://q.test/team/app:1', 'q.test/team/app:1'],
    ['oci:/srv/layout', 'oci:/srv/layout'],
    ['oci-archive:/srv/a.tar:v1', 'oci-archive:/srv/a.tar:v1'],
    ['dir:/srv/dir', 'dir:/srv/dir'],
    ['docker-archive:/srv/d.tar', 'docker-archive:/srv/d.tar'],
    ['docker-archive:/srv/d.tar:app', 'docker-archive:/srv/d.tar:docker.io/library/app:latest'],
    ['docker-daemon:app:1', 'docker-daemon:docker.io/library/app:1'],
  ])('is understood: %s', (text, full) => {
    expect(formatDestination(parseDestination(text))).toBe(full)
    expect(formatDestination(parseDestination(full))).toBe(full)
  })

  test.each([
    ['app:1', 'ERR_SHORT_NAME'],
    ['docker://app', 'ERR_SHORT_NAME'],
    ['containers-storage:app', 'ERR_TRANSPORT'],
    ['oci:/srv/layout:@1', 'ERR_TRANSPORT'],
    [`docker-daemon:sha256:${'0'.repeat(64)}`, 'ERR_TRANSPORT'],
    ['q.test/APP', 'ERR_INVALID_REFERENCE'],
  ])('is refused: %s', (text, code) => {
    expect(() => parseDestination(text)).toThrow(expect.objectContaining({ code }))
  })
})

/** A destination in memory, which reads every blob as often as it is told to. */
function memory(had: readonly Digest[] = []): ImageDestination & { readonly blobs: Map<Digest, string> } {
  const blobs = new Map<Digest, string>()
  const putBlob = async (blob: BlobToPut) => {
    if (had.includes(blob.digest)) return 'present' as const
    blobs.set(blob.digest, Buffer.concat(await collect(blob.open())).toString())
    return 'uploaded' as const
  }
  const nothing = async () => {}
  return { where: 'memory', parallel: 2, putBlob, putManifest: nothing, finish: nothing, abandon: nothing, blobs }
}

describe('blobs on their way', () => {
  const options = { mountFrom: [], onProgress: () => {}, report: () => {}, signal: new AbortController().signal }
  const sourceOf = (...texts: string[]) => ({ names: [], blob: async () => ({ stream: streamOf(texts.shift() ?? '') }) })
  const streamOf = (text: string) => Object.assign(collectable(text), {}) as never

  async function* collectable(text: string): AsyncGenerator<Buffer> {
    for (const letter of text) yield bytes(letter)
  }

  test('are proven, and those that are there are not read', async () => {
    const destination = memory([digestOf('there')])
    const source = {
      names: [],
      blob: async ({ digest }: { digest: Digest }) => ({ stream: streamOf(digest === digestOf('new') ? 'new' : '!') }),
    }
    const counts = await copyBlobs([blobOf('there'), blobOf('new'), blobOf('new')], { ...options, source, destination })
    expect(counts).toEqual({ uploaded: 1, mounted: 0, present: 1 })
    expect([...destination.blobs]).toEqual([[digestOf('new'), 'new']])
  })

  test('fail when they are others than promised, longer or shorter', async () => {
    for (const [text, code] of [
      ['evil', 'ERR_DIGEST_MISMATCH'],
      ['go', 'ERR_SIZE_MISMATCH'],
      ['good and more', 'ERR_SIZE_MISMATCH'],
    ] as const)
      expect(await failure(copyBlob(blobOf('good'), { ...options, source: sourceOf(text), destination: memory() }))).toMatchObject({ code })
    const unknown = { digest: digestOf('good'), size: undefined, what: 'it' }
    expect(await failure(collect(provenBytes(collectable('evil'), unknown)))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test('come from another place when the first one gave wrong bytes, and the error of the last one is told', async () => {
    const good = { stream: streamOf('good') }
    const source = { names: [], blob: async () => ({ stream: streamOf('evil'), instead: async () => good }) }
    const destination = memory()
    expect(await copyBlob(blobOf('good'), { ...options, source, destination })).toBe('uploaded')
    expect(destination.blobs.get(digestOf('good'))).toBe('good')
    const last = new Error('nobody is left')
    const lost = { names: [], blob: async () => ({ stream: streamOf('evil'), instead: () => Promise.reject(last) }) }
    expect(await failure(copyBlob(blobOf('good'), { ...options, source: lost, destination: memory() }))).toBe(last)
  })
})

describe('signatures', () => {
  test('are told apart, and what nobody knows is of no kind', () => {
    const stored = (content: object) => bytes(`\0sigstore-json\n${JSON.stringify(content)}`)
    const cosign = stored({ mimeType: MEDIA_TYPES.cosignSignature, payload: 'eA==', annotations: {} })
    expect([cosign, bytes('\0other\n'), Buffer.from([0xc2, 0]), bytes('text')].map(signatureKind)).toEqual([
      ...['sigstore', undefined, 'simple-signing', undefined],
    ])
  })

  test('without a place are an error that says what to do', () => {
    const one = { digest: digestOf('x'), files: [bytes('s')], bundles: [] }
    expect(noPlaceFor([one], 'why').message).toMatch(/has 1 signature, and why; give signatures: 'remove'/)
    expect(noPlaceFor([one, one], 'why')).toMatchObject({ code: 'ERR_SIGNATURE_DESTINATION', details: { signatures: 2 } })
  })

  test('in a bundle refer to what they sign', () => {
    const subject = blobOf('manifest', MEDIA_TYPES.ociManifest)
    const { raw, blobs } = bundleReferrer(bytes('bundle'), subject)
    expect(parsed(raw)).toMatchObject({ subject, artifactType: MEDIA_TYPES.sigstoreBundle, layers: [{ digest: digestOf('bundle') }] })
    expect(blobs.map(({ digest }) => digest)).toEqual([digestOf('{}'), digestOf('bundle')])
  })
})
