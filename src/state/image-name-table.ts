import { PodlibError } from '../errors/errors.ts'
import type { Digest } from '../spec/digest.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { isReferenceViolation } from './sqlite-error.ts'

/**
 * A name of an image, `docker.io/library/alpine:3.20`. One name can stand for one image of each platform; a container is
 * made from the one that fits.
 */
export interface ImageNameRow {
  readonly name: string
  readonly os: string
  readonly architecture: string
  readonly variant: string
  readonly imageId: string
  /** The manifest that the name led to. */
  readonly manifestDigest: Digest
}

const table = defineTable<ImageNameRow>('image_names', {
  name: 'plain',
  os: 'plain',
  architecture: 'plain',
  variant: 'plain',
  imageId: 'plain',
  manifestDigest: 'plain',
})

/**
 * Gives an image a name; a name that stood for another image of that platform moves.
 *
 * @returns the id of the image that lost the name.
 * @throws ERR_IMAGE_NOT_FOUND
 */
export function putImageName(db: Database, row: ImageNameRow): string | undefined {
  const where = 'name = ? AND os = ? AND architecture = ? AND variant = ?'
  const sql = `SELECT image_id AS id FROM image_names WHERE ${where}`
  const before = db.get<{ id: string }>(sql, row.name, row.os, row.architecture, row.variant)
  try {
    table.insert(db, row, 'replace')
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const text = `cannot name image ${row.imageId} ${row.name}: it is not in the store`
    throw new PodlibError('ERR_IMAGE_NOT_FOUND', text, { details: { id: row.imageId, name: row.name }, cause: error })
  }
  return before?.id === row.imageId ? undefined : before?.id
}

/** What a name stands for, one row a platform. */
export function getImageName(db: Database, name: string): ImageNameRow[] {
  return db.all<ImageNameRow>(`SELECT ${table.all} FROM image_names WHERE name = ?`, name)
}

export function listImageNames(db: Database, imageId?: string): ImageNameRow[] {
  if (imageId === undefined) return db.all<ImageNameRow>(`SELECT ${table.all} FROM image_names ORDER BY name`)
  return db.all<ImageNameRow>(`SELECT ${table.all} FROM image_names WHERE image_id = ? ORDER BY name`, imageId)
}

/** Takes a name away, from every image or from one. @returns how many rows went. */
export function deleteImageName(db: Database, name: string, imageId?: string): number {
  if (imageId === undefined) return db.run('DELETE FROM image_names WHERE name = ?', name).changes
  return db.run('DELETE FROM image_names WHERE name = ? AND image_id = ?', name, imageId).changes
}
