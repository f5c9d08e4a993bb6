import { PodlibError } from '../errors/errors.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { isDuplicate, isReferenceViolation } from './sqlite-error.ts'

export interface VolumeRow {
  readonly name: string
  readonly driver: string
  /** Made for one container and removed with it. */
  readonly anonymous: boolean
  readonly createdAt: number
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
  /** How many running containers have it mounted; reset after a reboot. */
  readonly mountCount: number
  /** Still empty: the first container copies what its image has at the mount point. */
  readonly needsCopyUp: boolean
  /** Its removal has begun and must be finished. */
  readonly removing: boolean
}

const table = defineTable<VolumeRow>('volumes', {
  name: 'plain',
  driver: 'plain',
  anonymous: 'boolean',
  createdAt: 'plain',
  labels: 'json',
  options: 'json',
  mountCount: 'plain',
  needsCopyUp: 'boolean',
  removing: 'boolean',
})

/** @throws ERR_VOLUME_EXISTS */
export function insertVolume(db: Database, row: VolumeRow): void {
  try {
    table.insert(db, row)
  } catch (error) {
    if (!isDuplicate(error)) throw error
    throw new PodlibError('ERR_VOLUME_EXISTS', `volume ${row.name} exists already`, { details: { name: row.name }, cause: error })
  }
}

export function getVolume(db: Database, name: string): VolumeRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM volumes WHERE name = ?`, name)
  return record === undefined ? undefined : table.decode(record)
}

/** Oldest first. */
export function listVolumes(db: Database): VolumeRow[] {
  return db.all(`SELECT ${table.all} FROM volumes ORDER BY rowid`).map(table.decode)
}

/** @throws ERR_VOLUME_NOT_FOUND */
export function updateVolume(db: Database, name: string, patch: Partial<Omit<VolumeRow, 'name' | 'createdAt'>>): void {
  if (table.update(db, patch, { sql: 'name = ?', values: [name] }) === 0) throw volumeNotFound(name)
}

/** Notes that a container has a volume mounted at `destination`. @throws ERR_VOLUME_NOT_FOUND */
export function useVolume(db: Database, use: { readonly containerId: string; readonly destination: string; readonly name: string }): void {
  try {
    const sql = 'INSERT INTO container_volumes (container_id, destination, volume_name) VALUES (?, ?, ?)'
    db.run(sql, use.containerId, use.destination, use.name)
  } catch (error) {
    throw isReferenceViolation(error) ? volumeNotFound(use.name) : error
  }
}

/** The volumes of a container by mount point. */
export function listVolumesOfContainer(db: Database, containerId: string): { readonly destination: string; readonly name: string }[] {
  return db.all('SELECT destination, volume_name AS name FROM container_volumes WHERE container_id = ?', containerId)
}

/** Ids of the containers, running or not, that have a volume. */
export function listContainersOfVolume(db: Database, name: string): string[] {
  const sql = 'SELECT DISTINCT container_id AS id FROM container_volumes WHERE volume_name = ?'
  return db.all<{ id: string }>(sql, name).map(({ id }) => id)
}

/** @throws ERR_VOLUME_NOT_FOUND; ERR_VOLUME_IN_USE with the containers. */
export function deleteVolume(db: Database, name: string): void {
  try {
    if (db.run('DELETE FROM volumes WHERE name = ?', name).changes === 0) throw volumeNotFound(name)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const containers = listContainersOfVolume(db, name)
    const text = `volume ${name} is used by container ${containers.map((id) => id.slice(0, 12)).join(', ')}: remove that first`
    throw new PodlibError('ERR_VOLUME_IN_USE', text, { details: { name, containers }, cause: error })
  }
}

function volumeNotFound(name: string): PodlibError {
  return new PodlibError('ERR_VOLUME_NOT_FOUND', `no volume is named ${name}`, { details: { name } })
}
