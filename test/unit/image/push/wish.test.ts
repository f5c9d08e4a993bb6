import { expect, test } from '@jest/globals'
import { mountableFrom } from '../../../../src/image/push/destination.ts'
import { missingPlace } from '../../../../src/image/push/signatures.ts'
import { assertWish, compressionOf, suitsLayer, suitsManifest } from '../../../../src/image/push/wish.ts'
import { digestOf } from '../../../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../../../src/spec/media-types.ts'
import { parseReference } from '../../../../src/spec/reference.ts'

const { ociManifest, dockerManifest, ociLayer, ociLayerGzip, ociLayerZstd, dockerLayerGzip, dockerForeignLayerGzip } = MEDIA_TYPES
const layers = (...types: string[]) => types.map((mediaType) => ({ mediaType, digest: digestOf('layer'), size: 5 }))

test('a manifest that came suits unless another format or compression is wished for', () => {
  const oci = { mediaType: ociManifest, layers: layers(ociLayerGzip, ociLayerZstd) }
  const docker = { mediaType: dockerManifest, layers: layers(dockerLayerGzip, dockerForeignLayerGzip) }
  expect([oci, docker].map((manifest) => suitsManifest(manifest, {}))).toEqual([true, true])
  expect([oci, docker].map((manifest) => suitsManifest(manifest, { format: 'v2s2' }))).toEqual([false, true])
  expect([oci, docker].map((manifest) => suitsManifest(manifest, { compression: 'gzip' }))).toEqual([false, true])
})

test('a layer that the registry has suits if it is compressed as wished for, or at all', () => {
  const types = [ociLayer, ociLayerGzip, ociLayerZstd, 'application/x-other']
  expect(types.map((type) => suitsLayer(type, {}))).toEqual([false, true, true, false])
  expect(types.map((type) => suitsLayer(type, { format: 'v2s2' }))).toEqual([false, true, false, false])
  expect(types.map((type) => suitsLayer(type, { compression: 'none' }))).toEqual([true, false, false, false])
  expect([dockerLayerGzip, 'application/x-other'].map(compressionOf)).toEqual(['gzip', undefined])
})

test('what cannot be is refused', () => {
  const impossible = [{ format: 'v2s2', compression: 'zstd' }, { compression: 'xz' as 'gzip' }, { format: 'v1' as 'oci' }] as const
  for (const wish of impossible) expect(() => assertWish(wish)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  expect(() => assertWish({ format: 'v2s2', compression: 'gzip' })).not.toThrow()
})

test('only other repositories of the same registry can be mounted from', () => {
  const references = ['q.test/a:1', 'q.test/a:2', 'q.test/b:1', 'r.test/c:1', 'q.test/d:1'].map((name) => parseReference(name))
  expect(mountableFrom(parseReference('q.test/b:2'), references)).toEqual(['a', 'd'])
})

test('signatures need the place of their kind', () => {
  const cosign = Buffer.from(
    `\0sigstore-json\n${JSON.stringify({ mimeType: MEDIA_TYPES.cosignSignature, payload: 'eA==', annotations: {} })}`,
  )
  const simple = Buffer.from([0xc2, 0])
  const places = { lookaside: undefined, attachments: false }
  expect(missingPlace(places, [simple])).toMatch(/lookaside-staging/)
  expect(missingPlace(places, [cosign])).toMatch(/use-sigstore-attachments/)
  expect(missingPlace({ lookaside: 'file:///s', attachments: true }, [Buffer.from('?')])).toMatch(/dir transport/)
  expect(missingPlace({ lookaside: 'file:///s', attachments: true }, [simple, cosign])).toBeUndefined()
})
