import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { archiveFiles } from '../../../src/transport/archive-files.ts'
import { dockerArchiveImages, selectArchivedImage } from '../../../src/transport/docker-archive.ts'
import { directoryFiles } from '../../../src/transport/file-set.ts'
import { ociLayoutImages, selectLayoutImage } from '../../../src/transport/oci-layout.ts'
import { type TarBlock, tar } from '../../helpers/tar-builder.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const hex = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: `sha256:${hex('{}')}`, size: 2 },
  layers: [],
})
const entry = (annotations?: object, more: object = {}) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: `sha256:${hex(MANIFEST)}`,
  size: MANIFEST.length,
  ...(annotations && { annotations }),
  ...more,
})
const REF = 'org.opencontainers.image.ref.name'

function layoutAt(manifests: object[], version = '1.0.0'): string {
  const path = directory()
  mkdirSync(join(path, 'blobs/sha256'), { recursive: true })
  writeFileSync(join(path, 'oci-layout'), JSON.stringify({ imageLayoutVersion: version }))
  writeFileSync(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  writeFileSync(join(path, 'blobs/sha256', hex(MANIFEST)), MANIFEST)
  return path
}

const layoutImages = (path: string) => ociLayoutImages(directoryFiles(path, 'oci:test'))

function archiveAt(...blocks: TarBlock[]): string {
  const path = join(directory(), 'a.tar')
  writeFileSync(path, tar(...blocks))
  return path
}

const dockerImages = async (...blocks: TarBlock[]) => dockerArchiveImages(await archiveFiles(archiveAt(...blocks), 'docker-archive:test'))
const manifestJson = (...images: object[]): TarBlock => ({ name: 'manifest.json', content: JSON.stringify(images) })

describe('an OCI layout', () => {
  test('has its images in order, entries of one manifest joined', async () => {
    const images = await layoutImages(layoutAt([entry({ [REF]: 'v1' }), entry({ [REF]: 'localhost/a:2' })]))
    expect(images.map(({ refs }) => refs)).toEqual([['v1', 'localhost/a:2']])
    expect(images[0]?.source.names).toEqual(['localhost/a:2'])
    expect((await images[0]?.source.manifest())?.bytes.toString()).toBe(MANIFEST)
  })

  test('that lists platforms of one image is that image', async () => {
    const other = { ...entry(undefined, { platform: { os: 'linux', architecture: 'arm64' } }), digest: `sha256:${'1'.repeat(64)}` }
    const images = await layoutImages(layoutAt([entry(undefined, { platform: { os: 'linux', architecture: 'amd64' } }), other]))
    expect(images).toHaveLength(1)
    expect(JSON.parse(String((await images[0]?.source.manifest())?.bytes)).manifests).toHaveLength(2)
    expect((await images[0]?.source.manifest(`sha256:${hex(MANIFEST)}`))?.bytes.toString()).toBe(MANIFEST)
  })

  test('is asked for one image by reference or position', async () => {
    const other = { ...entry({ [REF]: 'v2' }), digest: `sha256:${'1'.repeat(64)}` }
    const images = await layoutImages(layoutAt([entry({ [REF]: 'v1' }), other]))
    expect(selectLayoutImage(images, 'x', { ref: 'v2' }).refs).toEqual(['v2'])
    expect(selectLayoutImage(images, 'x', { index: 0 }).refs).toEqual(['v1'])
    expect(() => selectLayoutImage(images, 'x', { ref: 'v3' })).toThrow(expect.objectContaining({ code: 'ERR_IMAGE_NOT_FOUND' }))
    expect(() => selectLayoutImage(images, 'x', { index: 2 })).toThrow(expect.objectContaining({ code: 'ERR_IMAGE_NOT_FOUND' }))
    expect(() => selectLayoutImage(images, 'x', {})).toThrow(expect.objectContaining({ code: 'ERR_IMAGE_AMBIGUOUS' }))
  })

  test('of another version is refused', async () => {
    await expect(layoutImages(layoutAt([entry()], '2.0.0'))).rejects.toMatchObject({ code: 'ERR_ARCHIVE_INVALID' })
  })

  test('gives no manifest that is not what the index says', async () => {
    const path = layoutAt([entry()])
    writeFileSync(join(path, 'blobs/sha256', hex(MANIFEST)), MANIFEST.replace('"layers"', '"Layers"'))
    const [image] = await layoutImages(path)
    await expect(image?.source.manifest()).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })
})

describe('an archive of Docker', () => {
  const config: TarBlock = { name: `${hex('{}')}.json`, content: '{}' }

  test('has images with names of Docker Hub, configs and layers', async () => {
    const [image] = await dockerImages(
      config,
      { name: 'l/layer.tar', content: 'tar' },
      manifestJson({ Config: config.name, RepoTags: ['alpine:3', 'q.io/a:1'], Layers: ['l/layer.tar'] }),
    )
    expect(image?.names).toEqual(['docker.io/library/alpine:3', 'q.io/a:1'])
    expect((await image?.config())?.toString()).toBe('{}')
    expect(await image?.layer(0)).toMatchObject({ file: { size: 3 } })
  })

  test('may have layers that are links to those of another image', async () => {
    const blocks: TarBlock[] = [
      { name: 'a/layer.tar', content: 'layer' },
      { name: 'b/layer.tar', type: '2', linkName: '../a/layer.tar' },
      { name: 'c/layer.tar', type: '1', linkName: 'b/layer.tar' },
    ]
    const [image] = await dockerImages(config, ...blocks, manifestJson({ Config: config.name, Layers: ['b/layer.tar', 'c/layer.tar'] }))
    expect(await image?.layer(0)).toEqual(await image?.layer(1))
    expect(await image?.layer(1)).toMatchObject({ file: { size: 5 } })
  })

  test('is asked for one image by name or position', async () => {
    const images = await dockerImages(
      config,
      manifestJson({ Config: config.name, RepoTags: ['a:1'] }, { Config: config.name, RepoTags: null, Layers: null }),
    )
    expect(selectArchivedImage(images, 'x', { ref: 'a:1' })).toBe(images[0])
    expect(selectArchivedImage(images, 'x', { ref: 'docker.io/library/a:1' })).toBe(images[0])
    expect(selectArchivedImage(images, 'x', { index: 1 })).toBe(images[1])
    expect(() => selectArchivedImage(images, 'x', { ref: 'b' })).toThrow(expect.objectContaining({ code: 'ERR_IMAGE_NOT_FOUND' }))
    expect(() => selectArchivedImage(images, 'x', {})).toThrow(expect.objectContaining({ code: 'ERR_IMAGE_AMBIGUOUS' }))
  })

  test('whose config is not what its name says is refused', async () => {
    const [image] = await dockerImages({ ...config, content: '{ }' }, manifestJson({ Config: config.name, Layers: [] }))
    await expect(image?.config()).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })
})
