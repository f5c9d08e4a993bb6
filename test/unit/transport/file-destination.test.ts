import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { digestOf } from '../../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../../src/spec/media-types.ts'
import { archiveFiles } from '../../../src/transport/archive-files.ts'
import { dirImage } from '../../../src/transport/dir.ts'
import { type FileDestination, openFileDestination } from '../../../src/transport/file-destination.ts'
import { directoryFiles } from '../../../src/transport/file-set.ts'
import type { ImageDestination } from '../../../src/transport/image-destination.ts'
import { ociLayoutImages } from '../../../src/transport/oci-layout.ts'
import { bytesContent } from '../../../src/transport/saved-image.ts'
import { failure } from '../../helpers/registry-world.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const { signal } = new AbortController()
const options = { onProgress: () => {}, signal }
const blob = (text: string) => bytesContent(Buffer.from(text), digestOf(text))

function rootOf(layer: string) {
  const describeBlob = (mediaType: string, text: string) => ({ mediaType, digest: digestOf(text), size: text.length })
  const mediaType = MEDIA_TYPES.ociManifest
  const config = describeBlob(MEDIA_TYPES.ociConfig, '{}')
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [describeBlob(MEDIA_TYPES.ociLayer, layer)] }))
  return { mediaType, digest: digestOf(bytes), bytes }
}

async function fill(destination: ImageDestination, layer: string): Promise<void> {
  for (const text of [layer, '{}']) await destination.putBlob(blob(text), options)
}

const places = (path: string): FileDestination[] => [
  { transport: 'oci', path: join(path, 'oci'), ref: 'v1' },
  { transport: 'oci-archive', path: join(path, 'a.tar'), ref: 'v1' },
  { transport: 'dir', path: join(path, 'dir') },
]

describe('files that an image is copied to', () => {
  test('are there when it is complete, and not before', async () => {
    const path = directory()
    for (const place of places(path)) {
      const destination = await openFileDestination(place)
      await fill(destination, 'layer')
      expect(readdirSync(path).filter((name) => !name.endsWith('.partial'))).not.toContain(place.path.slice(path.length + 1))
      await destination.finish(rootOf('layer'), signal)
    }
    expect(readdirSync(path).sort()).toEqual(['a.tar', 'dir', 'oci'])
    const { digest } = rootOf('layer')
    const layouts = [directoryFiles(join(path, 'oci'), 'oci'), await archiveFiles(join(path, 'a.tar'), 'oci-archive')]
    for (const files of layouts) {
      const [image] = await ociLayoutImages(files)
      expect([image?.refs, (await image?.source.manifest())?.digest]).toEqual([['v1'], digest])
    }
    expect((await (await dirImage(directoryFiles(join(path, 'dir'), 'dir'))).manifest()).digest).toBe(digest)
  })

  test('leave nothing behind when it is given up', async () => {
    const path = directory()
    for (const place of places(path)) {
      const destination = await openFileDestination(place)
      await fill(destination, 'layer')
      await destination.abandon()
    }
    expect(readdirSync(path)).toEqual([])
  })

  test('are added to a layout, whose own are neither written again nor taken away', async () => {
    const place = { transport: 'oci', path: join(directory(), 'oci'), ref: 'v1' } as const
    const first = await openFileDestination(place)
    await fill(first, 'layer')
    await first.finish(rootOf('layer'), signal)
    const before = [readFileSync(join(place.path, 'index.json'), 'utf8'), readdirSync(join(place.path, 'blobs/sha256')).sort()]
    const given = await openFileDestination({ ...place, ref: 'v2' })
    expect(await given.putBlob(blob('{}'), options)).toBe('present')
    expect(await given.putBlob(blob('other layer'), options)).toBe('uploaded')
    await given.abandon()
    expect([readFileSync(join(place.path, 'index.json'), 'utf8'), readdirSync(join(place.path, 'blobs/sha256')).sort()]).toEqual(before)
    const second = await openFileDestination({ ...place, ref: 'v2' })
    await fill(second, 'other layer')
    await second.finish(rootOf('other layer'), signal)
    const images = await ociLayoutImages(directoryFiles(place.path, 'oci'))
    expect(images.map(({ refs }) => refs)).toEqual([['v1'], ['v2']])
  })

  test('come into an empty directory, which stays; one with something in it is left alone', async () => {
    const path = join(directory(), 'dir')
    mkdirSync(path, { mode: 0o700 })
    const given = await openFileDestination({ transport: 'dir', path })
    await fill(given, 'layer')
    await given.abandon()
    expect(readdirSync(path)).toEqual([])
    writeFileSync(join(path, 'mine'), '')
    for (const transport of ['dir', 'oci'] as const)
      expect(await failure(openFileDestination({ transport, path }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(readdirSync(path)).toEqual(['mine'])
  })
})
