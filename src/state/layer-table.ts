import { PodlibError } from '../errors/errors.ts'
import type { Digest } from '../spec/digest.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { isReferenceViolation } from './sqlite-error.ts'

/**
 * `staging`: complete and proven, but perhaps in memory only; `ready`: on the disk too; `deleting`: its files are going or gone.
 * An image that has a layer of this last kind has lost it in a power cut or to a failing disk, and gets it again by a pull.
 */
export type LayerState = 'staging' | 'ready' | 'deleting'

export interface LayerRow {
  readonly diffId: Digest
  /** How it is kept on disk: `directory`. */
  readonly form: string
  /** Bytes of the uncompressed tar. */
  readonly size: number
  /** Bytes that it takes on disk. */
  readonly usageBytes: number
  readonly entries: number
  readonly state: LayerState
  readonly createdAt: number
  readonly lastUsedAt: number
}

/** What a blob turned out to hold. Only pairs that podlib computed itself from one stream: a manifest's word is not proof. */
export interface BlobRow {
  readonly blobDigest: Digest
  readonly diffId: Digest
  /** Bytes of the blob as it is transferred. */
  readonly size: number
  readonly mediaType: string
}

const table = defineTable<LayerRow>('layers', {
  diffId: 'plain',
  form: 'plain',
  size: 'plain',
  usageBytes: 'plain',
  entries: 'plain',
  state: 'plain',
  createdAt: 'plain',
  lastUsedAt: 'plain',
})

const blobs = defineTable<BlobRow>('blobs', { blobDigest: 'plain', diffId: 'plain', size: 'plain', mediaType: 'plain' })

/** Adds a layer; one with the same diff ID is left as it is. @returns whether it was added. */
export function insertLayer(db: Database, row: LayerRow): boolean {
  return table.insert(db, row, 'keep').changes === 1
}

export function getLayer(db: Database, diffId: Digest): LayerRow | undefined {
  return db.get<LayerRow>(`SELECT ${table.all} FROM layers WHERE diff_id = ?`, diffId)
}

export function listLayers(db: Database, state?: LayerState): LayerRow[] {
  if (state === undefined) return db.all<LayerRow>(`SELECT ${table.all} FROM layers ORDER BY rowid`)
  return db.all<LayerRow>(`SELECT ${table.all} FROM layers WHERE state = ? ORDER BY rowid`, state)
}

/** Layers of images that can be used already, and are not known to be on the disk. */
export function listUnflushedLayers(db: Database): LayerRow[] {
  const held = 'EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = layers.diff_id)'
  return db.all<LayerRow>(`SELECT ${table.all} FROM layers WHERE state = 'staging' AND ${held}`)
}

/** @throws ERR_LAYER_NOT_FOUND */
export function updateLayer(db: Database, diffId: Digest, patch: Partial<Omit<LayerRow, 'diffId'>>): void {
  const changed = table.update(db, patch, { sql: 'diff_id = ?', values: [diffId] })
  if (changed === 0) throw layerNotFound(diffId)
}

/** Layers that no image holds, the longest unused first: what a clean-up may take. */
export function listUnusedLayers(db: Database): LayerRow[] {
  const unused = 'NOT EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = layers.diff_id)'
  return db.all<LayerRow>(`SELECT ${table.all} FROM layers WHERE ${unused} ORDER BY last_used_at`)
}

/** @throws ERR_LAYER_NOT_FOUND; ERR_LAYER_IN_USE with the images that hold it. */
export function deleteLayer(db: Database, diffId: Digest): void {
  try {
    if (db.run('DELETE FROM layers WHERE diff_id = ?', diffId).changes === 0) throw layerNotFound(diffId)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const images = db.all<{ id: string }>('SELECT DISTINCT image_id AS id FROM image_layers WHERE diff_id = ?', diffId).map(({ id }) => id)
    const text = `layer ${diffId} belongs to image ${images.map((id) => id.slice(0, 12)).join(', ')}: remove that first`
    throw new PodlibError('ERR_LAYER_IN_USE', text, { details: { diffId, images }, cause: error })
  }
}

export function insertBlob(db: Database, row: BlobRow): void {
  blobs.insert(db, row, 'replace')
}

/** The layer that a blob holds, if it is in the store: the blob need not be fetched then. */
export function findLayerOfBlob(db: Database, blobDigest: Digest): LayerRow | undefined {
  const sql = `SELECT ${table.all} FROM blobs JOIN layers USING (diff_id) WHERE blob_digest = ? AND state <> 'deleting'`
  return db.get<LayerRow>(sql, blobDigest)
}

/** The blobs that are known to hold a layer. */
export function listBlobsOfLayer(db: Database, diffId: Digest): BlobRow[] {
  return db.all<BlobRow>(`SELECT ${blobs.all} FROM blobs WHERE diff_id = ?`, diffId)
}

function layerNotFound(diffId: Digest): PodlibError {
  return new PodlibError('ERR_LAYER_NOT_FOUND', `no layer ${diffId} is in the store`, { details: { diffId } })
}
