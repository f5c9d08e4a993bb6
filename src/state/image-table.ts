import { PodlibError } from '../errors/errors.ts'
import type { Digest } from '../spec/digest.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import type { LayerState } from './layer-table.ts'
import { findByPrefix } from './name-table.ts'
import { isReferenceViolation } from './sqlite-error.ts'

/** An image: its config, named by the hexadecimal part of the config's digest. */
export interface ImageRow {
  readonly id: string
  /** When it was built, as its config says; null when it does not say. */
  readonly createdAt: number | null
  /** When it came into the store. */
  readonly storedAt: number
  readonly os: string
  readonly architecture: string
  /** Empty when the platform has none. */
  readonly variant: string
  /** Bytes of its layers, uncompressed. */
  readonly size: number
  readonly labels: Readonly<Record<string, string>>
  /** The exact bytes that the id is the digest of. */
  readonly config: Uint8Array
}

export type ImageSummaryRow = Omit<ImageRow, 'config' | 'labels'> & { readonly labelsJson: string; readonly names: readonly string[] }

/** A layer of an image, with the blob that it came in or would be pushed as. */
export interface ImageLayerRow {
  readonly imageId: string
  /** 0 is the bottom. */
  readonly position: number
  readonly diffId: Digest
  readonly blobDigest: Digest
  readonly blobSize: number
  readonly mediaType: string
}

/** A manifest of an image as it came. One image can have several: other compression, other annotations. */
export interface ImageManifestRow {
  readonly imageId: string
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
  /** The index through which it was chosen. */
  readonly indexDigest: Digest | null
  readonly indexBytes: Uint8Array | null
  /** What a later policy check needs to see again, in the shape that image/kept-signatures.ts describes; null when nothing is known. */
  readonly signatures: unknown
}

const table = defineTable<ImageRow>('images', {
  id: 'plain',
  createdAt: 'plain',
  storedAt: 'plain',
  os: 'plain',
  architecture: 'plain',
  variant: 'plain',
  size: 'plain',
  labels: 'json',
  config: 'plain',
})

const layers = defineTable<ImageLayerRow>('image_layers', {
  imageId: 'plain',
  position: 'plain',
  diffId: 'plain',
  blobDigest: 'plain',
  blobSize: 'plain',
  mediaType: 'plain',
})

const manifests = defineTable<ImageManifestRow>('image_manifests', {
  imageId: 'plain',
  digest: 'plain',
  mediaType: 'plain',
  bytes: 'plain',
  indexDigest: 'plain',
  indexBytes: 'plain',
  signatures: 'json',
})

/**
 * Adds an image with its layers, bottom first; one with the same id is the same image and is left as it is.
 *
 * @returns whether it was added.
 * @throws ERR_LAYER_NOT_FOUND when a layer is not in the store.
 */
export function insertImage(db: Database, row: ImageRow, imageLayers: readonly Omit<ImageLayerRow, 'imageId' | 'position'>[]): boolean {
  if (table.insert(db, row, 'keep').changes === 0) return false
  for (const [position, layer] of imageLayers.entries()) {
    try {
      layers.insert(db, { imageId: row.id, position, ...layer })
    } catch (error) {
      if (!isReferenceViolation(error)) throw error
      const text = `image ${row.id} needs layer ${layer.diffId}, which is not in the store`
      throw new PodlibError('ERR_LAYER_NOT_FOUND', text, { details: { imageId: row.id, diffId: layer.diffId }, cause: error })
    }
  }
  return true
}

export function getImage(db: Database, id: string): ImageRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM images WHERE id = ?`, id)
  return record === undefined ? undefined : table.decode(record)
}

/** Ids of images that start with `prefix`, a few at most. */
export function findImagesByPrefix(db: Database, prefix: string): string[] {
  return findByPrefix(db, 'images', prefix)
}

/** Ids of images that have a manifest with this digest, or were chosen through an index with it. */
export function findImagesByManifest(db: Database, digest: Digest): string[] {
  const sql = 'SELECT DISTINCT image_id AS id FROM image_manifests WHERE digest = ? OR index_digest = ?'
  return db.all<{ id: string }>(sql, digest, digest).map(({ id }) => id)
}

/** The longest stored first. */
export function listImages(db: Database): ImageSummaryRow[] {
  const summary = table.pick(['id', 'createdAt', 'storedAt', 'os', 'architecture', 'variant', 'size'])
  const names = '(SELECT json_group_array(name) FROM image_names WHERE image_id = images.id) AS names'
  const records = db.all<Omit<ImageSummaryRow, 'names'> & { names: string }>(
    `SELECT ${summary}, labels AS labelsJson, ${names} FROM images ORDER BY rowid`,
  )
  return records.map((record) => ({ ...record, names: JSON.parse(record.names) as string[] }))
}

/** Bottom first. */
export function listImageLayers(db: Database, imageId: string): ImageLayerRow[] {
  return db.all<ImageLayerRow>(`SELECT ${layers.all} FROM image_layers WHERE image_id = ? ORDER BY position`, imageId)
}

/** Ids of the images that have a layer. */
export function listImagesOfLayer(db: Database, diffId: Digest): string[] {
  return db.all<{ id: string }>('SELECT DISTINCT image_id AS id FROM image_layers WHERE diff_id = ?', diffId).map(({ id }) => id)
}

/** Images that have a layer in a state, with a name of each or, where it has none, its id. */
export function listImagesWithLayers(db: Database, state: LayerState): { readonly id: string; readonly name: string }[] {
  const name = 'coalesce((SELECT min(name) FROM image_names WHERE image_id = image_layers.image_id), image_id)'
  return db.all(`SELECT DISTINCT image_id AS id, ${name} AS name FROM image_layers JOIN layers USING (diff_id) WHERE state = ?`, state)
}

/** Whether a power cut, or the disk, has taken layers of an image. */
export function hasLostLayers(db: Database, imageId: string): boolean {
  const sql = "SELECT 1 FROM image_layers JOIN layers USING (diff_id) WHERE image_id = ? AND state = 'deleting' LIMIT 1"
  return db.get(sql, imageId) !== undefined
}

/** Keeps a manifest; one with the same digest is replaced, signatures included. */
export function putImageManifest(db: Database, row: ImageManifestRow): void {
  manifests.insert(db, row, 'replace')
}

/** The first one kept comes first. */
export function listImageManifests(db: Database, imageId: string): ImageManifestRow[] {
  return db.all(`SELECT ${manifests.all} FROM image_manifests WHERE image_id = ? ORDER BY rowid`, imageId).map(manifests.decode)
}

/** Ids of the containers that were made from an image. */
export function listContainersOfImage(db: Database, imageId: string): string[] {
  return db.all<{ id: string }>('SELECT id FROM containers WHERE image_id = ?', imageId).map(({ id }) => id)
}

/**
 * Forgets an image, its names and manifests; its layers stay until somebody deletes those that nothing holds any more.
 *
 * @throws ERR_IMAGE_NOT_FOUND; ERR_IMAGE_IN_USE with the containers.
 */
export function deleteImage(db: Database, id: string): void {
  try {
    if (db.run('DELETE FROM images WHERE id = ?', id).changes === 0) throw imageNotFound(id)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const containers = listContainersOfImage(db, id)
    const text = `image ${id.slice(0, 12)} is used by container ${containers.map((other) => other.slice(0, 12)).join(', ')}: remove that first`
    throw new PodlibError('ERR_IMAGE_IN_USE', text, { details: { id, containers }, cause: error })
  }
}

function imageNotFound(id: string): PodlibError {
  return new PodlibError('ERR_IMAGE_NOT_FOUND', `no image ${id} is in the store`, { details: { id } })
}
