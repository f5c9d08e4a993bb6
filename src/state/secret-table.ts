import { PodlibError } from '../errors/errors.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { isDuplicate } from './sqlite-error.ts'

/** What is known about a secret. Its value is a file of its own and never enters the database. */
export interface SecretRow {
  readonly id: string
  readonly name: string
  readonly driver: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
}

const table = defineTable<SecretRow>('secrets', {
  id: 'plain',
  name: 'plain',
  driver: 'plain',
  createdAt: 'plain',
  updatedAt: 'plain',
  labels: 'json',
  options: 'json',
})

/** @throws ERR_SECRET_EXISTS */
export function insertSecret(db: Database, row: SecretRow): void {
  try {
    table.insert(db, row)
  } catch (error) {
    if (!isDuplicate(error)) throw error
    throw new PodlibError('ERR_SECRET_EXISTS', `secret ${row.name} exists already`, { details: { name: row.name }, cause: error })
  }
}

/** The secret with this name or full id. */
export function getSecret(db: Database, nameOrId: string): SecretRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM secrets WHERE name = ? OR id = ? ORDER BY name = ? DESC`, nameOrId, nameOrId, nameOrId)
  return record === undefined ? undefined : table.decode(record)
}

/** Oldest first. */
export function listSecrets(db: Database): SecretRow[] {
  return db.all(`SELECT ${table.all} FROM secrets ORDER BY rowid`).map(table.decode)
}

/** @throws ERR_SECRET_NOT_FOUND */
export function updateSecret(db: Database, id: string, patch: Partial<Pick<SecretRow, 'updatedAt' | 'labels' | 'options'>>): void {
  if (table.update(db, patch, { sql: 'id = ?', values: [id] }) === 0) throw secretNotFound(id)
}

/** @throws ERR_SECRET_NOT_FOUND */
export function deleteSecret(db: Database, id: string): void {
  if (db.run('DELETE FROM secrets WHERE id = ?', id).changes === 0) throw secretNotFound(id)
}

function secretNotFound(given: string): PodlibError {
  return new PodlibError('ERR_SECRET_NOT_FOUND', `no secret has the id or name ${given}`, { details: { given } })
}
