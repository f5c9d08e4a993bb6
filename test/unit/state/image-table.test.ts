import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { deleteContainer, insertContainer } from '../../../src/state/container-table.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { deleteImageName, getImageName, listImageNames, putImageName } from '../../../src/state/image-name-table.ts'
import {
  deleteImage,
  findImagesByManifest,
  findImagesByPrefix,
  getImage,
  insertImage,
  listImageLayers,
  listImageManifests,
  listImages,
  putImageManifest,
} from '../../../src/state/image-table.ts'
import {
  deleteLayer,
  findLayerOfBlob,
  getLayer,
  insertBlob,
  insertLayer,
  listBlobsOfLayer,
  listLayers,
  listUnusedLayers,
  updateLayer,
} from '../../../src/state/layer-table.ts'
import { containerRow, digestOfWord, idOf, imageRow, layerRow } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
let db: Database
beforeEach(async () => {
  db = await openDatabase(join(newDirectory(), 'podlib.db'))
})
afterEach(() => db.close())

const MEDIA_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'
const layerOf = (word: string) => ({
  diffId: digestOfWord(word),
  blobDigest: digestOfWord(`${word}.gz`),
  blobSize: 100,
  mediaType: MEDIA_TYPE,
})
const PLATFORM = { os: 'linux', architecture: 'amd64', variant: '' }

/** Stores an image with its layers, all new. */
const addImage = (word: string, ...layers: string[]) =>
  db.transaction(() => {
    for (const layer of layers) insertLayer(db, layerRow(layer))
    return insertImage(db, imageRow(word, { labels: { word } }), layers.map(layerOf))
  })

describe('an image', () => {
  test('comes back with the exact bytes of its config and its layers in order', async () => {
    const config = Buffer.from([0x7b, 0, 0xff, 0x7d])
    await db.transaction(() => {
      for (const word of ['bottom', 'top']) insertLayer(db, layerRow(word))
      insertImage(db, imageRow('app', { config, labels: { a: 'b' } }), [layerOf('bottom'), layerOf('top'), layerOf('bottom')])
    })
    const image = getImage(db, idOf('app'))
    expect(Buffer.from(image?.config ?? []).equals(config)).toBe(true)
    expect(image?.labels).toEqual({ a: 'b' })
    expect(listImageLayers(db, idOf('app')).map(({ diffId }) => diffId)).toEqual(['bottom', 'top', 'bottom'].map(digestOfWord))
    expect(getImage(db, idOf('other'))).toBeUndefined()
    expect(findImagesByPrefix(db, idOf('app').slice(0, 10))).toEqual([idOf('app')])
  })

  test('that is stored twice stays one', async () => {
    expect(await addImage('app', 'layer')).toBe(true)
    expect(await addImage('app', 'layer')).toBe(false)
    expect(listImages(db)).toHaveLength(1)
  })

  test('cannot be stored without its layers', async () => {
    const early = db.transaction(() => insertImage(db, imageRow('app'), [layerOf('missing')]))
    await expect(early).rejects.toMatchObject({ code: 'ERR_LAYER_NOT_FOUND', details: { diffId: digestOfWord('missing') } })
    expect(listImages(db)).toEqual([])
  })

  test('is listed with its names and without its config', async () => {
    await addImage('app', 'layer')
    const name = { ...PLATFORM, imageId: idOf('app'), manifestDigest: digestOfWord('manifest') }
    await db.transaction(() => {
      putImageName(db, { ...name, name: 'docker.io/library/app:1' })
      putImageName(db, { ...name, name: 'docker.io/library/app:latest' })
    })
    const [listed] = listImages(db)
    expect(listed).toMatchObject({
      id: idOf('app'),
      names: ['docker.io/library/app:1', 'docker.io/library/app:latest'],
      labelsJson: '{"word":"app"}',
    })
    expect(listed).not.toHaveProperty('config')
  })

  test('keeps every manifest that it came with, found by its digest or that of its index', async () => {
    await addImage('app', 'layer')
    const row = {
      imageId: idOf('app'),
      digest: digestOfWord('m1'),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      bytes: Buffer.from('{}'),
      indexDigest: digestOfWord('index'),
      indexBytes: Buffer.from('[]'),
      signatures: null,
    }
    await db.transaction(() => {
      putImageManifest(db, row)
      putImageManifest(db, { ...row, digest: digestOfWord('m2'), indexDigest: null, indexBytes: null })
      putImageManifest(db, { ...row, signatures: [{ kind: 'simple' }] })
    })
    const kept = listImageManifests(db, idOf('app'))
    expect(kept.map(({ digest }) => digest).sort()).toEqual([digestOfWord('m1'), digestOfWord('m2')].sort())
    expect(kept.find(({ digest }) => digest === digestOfWord('m1'))?.signatures).toEqual([{ kind: 'simple' }])
    expect(findImagesByManifest(db, digestOfWord('m2'))).toEqual([idOf('app')])
    expect(findImagesByManifest(db, digestOfWord('index'))).toEqual([idOf('app')])
    expect(findImagesByManifest(db, digestOfWord('none'))).toEqual([])
  })

  test('goes with its names and manifests, but not before its containers', async () => {
    await addImage('app', 'layer')
    await db.transaction(() => {
      putImageName(db, { ...PLATFORM, name: 'a:1', imageId: idOf('app'), manifestDigest: digestOfWord('m') })
      insertContainer(db, containerRow('c', { imageId: idOf('app') }), {})
    })
    const early = db.transaction(() => deleteImage(db, idOf('app')))
    await expect(early).rejects.toMatchObject({ code: 'ERR_IMAGE_IN_USE', details: { containers: [idOf('c')] } })
    await db.transaction(() => deleteContainer(db, idOf('c')))
    await db.transaction(() => deleteImage(db, idOf('app')))
    expect(listImageNames(db)).toEqual([])
    expect(listImageLayers(db, idOf('app'))).toEqual([])
    await expect(db.transaction(() => deleteImage(db, idOf('app')))).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
  })
})

describe('a name of an image', () => {
  const row = { name: 'docker.io/library/app:1', ...PLATFORM, manifestDigest: digestOfWord('m') }

  test('moves to another image and says from which', async () => {
    await addImage('old', 'layer')
    await addImage('new', 'layer')
    expect(await db.transaction(() => putImageName(db, { ...row, imageId: idOf('old') }))).toBeUndefined()
    expect(await db.transaction(() => putImageName(db, { ...row, imageId: idOf('old') }))).toBeUndefined()
    expect(await db.transaction(() => putImageName(db, { ...row, imageId: idOf('new') }))).toBe(idOf('old'))
    expect(getImageName(db, row.name).map(({ imageId }) => imageId)).toEqual([idOf('new')])
  })

  test('stands for one image of each platform', async () => {
    await addImage('amd', 'layer')
    await addImage('arm', 'layer')
    await db.transaction(() => {
      putImageName(db, { ...row, imageId: idOf('amd') })
      putImageName(db, { ...row, architecture: 'arm64', variant: 'v8', imageId: idOf('arm') })
    })
    expect(getImageName(db, row.name)).toHaveLength(2)
    expect(await db.transaction(() => deleteImageName(db, row.name, idOf('arm')))).toBe(1)
    expect(listImageNames(db, idOf('amd'))).toHaveLength(1)
    expect(await db.transaction(() => deleteImageName(db, row.name))).toBe(1)
    expect(getImageName(db, row.name)).toEqual([])
  })

  test('cannot stand for nothing', async () => {
    const lost = db.transaction(() => putImageName(db, { ...row, imageId: idOf('none') }))
    await expect(lost).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
  })
})

describe('a layer', () => {
  test('that an image or a container of it uses cannot go', async () => {
    await addImage('app', 'layer')
    const early = () => db.transaction(() => deleteLayer(db, digestOfWord('layer')))
    await expect(early()).rejects.toMatchObject({ code: 'ERR_LAYER_IN_USE', details: { images: [idOf('app')] } })
    await db.transaction(() => insertContainer(db, containerRow('c', { imageId: idOf('app') }), {}))
    const trick = db.transaction(() => {
      deleteImage(db, idOf('app'))
      deleteLayer(db, digestOfWord('layer'))
    })
    await expect(trick).rejects.toMatchObject({ code: 'ERR_IMAGE_IN_USE' })
    expect(getLayer(db, digestOfWord('layer'))).toBeDefined()
    expect(listUnusedLayers(db)).toEqual([])
  })

  test('that nothing holds is listed, the longest unused first, and goes with its blobs', async () => {
    await addImage('app', 'used')
    await db.transaction(() => {
      insertLayer(db, layerRow('recent', { lastUsedAt: 20 }))
      insertLayer(db, layerRow('ancient', { lastUsedAt: 10 }))
      insertBlob(db, { blobDigest: digestOfWord('blob'), diffId: digestOfWord('ancient'), size: 5, mediaType: MEDIA_TYPE })
    })
    expect(listUnusedLayers(db).map(({ diffId }) => diffId)).toEqual([digestOfWord('ancient'), digestOfWord('recent')])
    await db.transaction(() => deleteLayer(db, digestOfWord('ancient')))
    expect(findLayerOfBlob(db, digestOfWord('blob'))).toBeUndefined()
    expect(listBlobsOfLayer(db, digestOfWord('ancient'))).toEqual([])
    await expect(db.transaction(() => deleteLayer(db, digestOfWord('ancient')))).rejects.toMatchObject({ code: 'ERR_LAYER_NOT_FOUND' })
  })

  test('is found by its blob, unless it is being removed', async () => {
    const blob = { blobDigest: digestOfWord('blob'), diffId: digestOfWord('layer'), size: 5, mediaType: MEDIA_TYPE }
    await db.transaction(() => {
      expect(insertLayer(db, layerRow('layer', { state: 'staging' }))).toBe(true)
      expect(insertLayer(db, layerRow('layer', { state: 'ready' }))).toBe(false)
      insertBlob(db, blob)
    })
    expect(findLayerOfBlob(db, blob.blobDigest)).toMatchObject({ diffId: blob.diffId, state: 'staging' })
    await db.transaction(() => updateLayer(db, blob.diffId, { state: 'deleting' }))
    expect(findLayerOfBlob(db, blob.blobDigest)).toBeUndefined()
    await db.transaction(() => updateLayer(db, blob.diffId, { state: 'ready', lastUsedAt: 9 }))
    expect(findLayerOfBlob(db, blob.blobDigest)).toEqual(layerRow('layer', { lastUsedAt: 9 }))
    expect(listBlobsOfLayer(db, blob.diffId)).toEqual([blob])
    expect(listLayers(db, 'staging')).toEqual([])
    expect(listLayers(db)).toHaveLength(1)
    await expect(db.transaction(() => updateLayer(db, digestOfWord('none'), { size: 1 }))).rejects.toMatchObject({
      code: 'ERR_LAYER_NOT_FOUND',
    })
  })

  test('in a state that nobody knows is refused', async () => {
    const odd = db.transaction(() => insertLayer(db, layerRow('layer', { state: 'odd' as 'ready' })))
    await expect(odd).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
  })
})
