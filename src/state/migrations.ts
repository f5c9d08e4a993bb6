import type BetterSqlite3 from 'better-sqlite3'
import { PodlibError } from '../errors/errors.ts'
import { SCHEMA_V1 } from './schema-v1.ts'

/** One step of the schema; step n (from 1) leads from `user_version` n-1 to n. Never edited after a release. */
export interface Migration {
  readonly name: string
  readonly sql: string
}

export const MIGRATIONS: readonly Migration[] = [
  { name: 'first schema', sql: SCHEMA_V1 },
  { name: 'warnings of containers', sql: "ALTER TABLE containers ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]'" },
  {
    name: 'images of other stores that containers are of',
    sql: 'ALTER TABLE containers ADD COLUMN image_store TEXT; ALTER TABLE containers ADD COLUMN foreign_image_id TEXT;',
  },
]

/** 'podl', so that file(1) and we can tell a store of podlib from any other SQLite file. */
const APPLICATION_ID = 0x706f_646c

/**
 * Whether the schema is the one that this podlib writes.
 *
 * @throws ERR_STORE_VERSION when a newer podlib wrote it, ERR_STORE_CORRUPT when it is another program's database.
 */
export function isCurrent(db: BetterSqlite3.Database, path: string, migrations: readonly Migration[] = MIGRATIONS): boolean {
  const version = Number(db.pragma('user_version', { simple: true }))
  const details = { path, version, supported: migrations.length }
  if (version > migrations.length) {
    const text = `state database ${path} has schema ${version}, this podlib knows up to ${migrations.length}: use the podlib that wrote it or a newer one`
    throw new PodlibError('ERR_STORE_VERSION', text, { details })
  }
  const owner = Number(db.pragma('application_id', { simple: true }))
  const empty = version === 0 && db.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() === undefined
  if (!empty && owner !== APPLICATION_ID) {
    throw new PodlibError('ERR_STORE_CORRUPT', `${path} is the database of another program: choose another root`, { details })
  }
  return version === migrations.length
}

/**
 * Brings the schema up to date in one exclusive transaction: after a crash the store has the old schema or the new one.
 * Must be called outside a transaction on a connection that nobody else uses yet; SQLITE_BUSY means try again.
 */
export function migrate(db: BetterSqlite3.Database, path: string, migrations: readonly Migration[] = MIGRATIONS): void {
  // References are off while tables are rebuilt (a DROP would cascade) and are checked as a whole at the end. The pragma
  // has no effect inside a transaction. See https://www.sqlite.org/lang_altertable.html#otheralter
  db.exec('PRAGMA foreign_keys = OFF')
  db.exec('PRAGMA synchronous = FULL')
  db.exec('BEGIN EXCLUSIVE')
  try {
    // Another process may have been here between the look and the lock.
    if (!isCurrent(db, path, migrations)) {
      const version = Number(db.pragma('user_version', { simple: true }))
      for (const { sql } of migrations.slice(version)) db.exec(sql)
      assertReferences(db, path)
      db.exec(`PRAGMA user_version = ${migrations.length}`)
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
    }
    db.exec('COMMIT')
  } finally {
    if (db.inTransaction) db.exec('ROLLBACK')
    db.exec('PRAGMA synchronous = NORMAL')
    db.exec('PRAGMA foreign_keys = ON')
  }
}

function assertReferences(db: BetterSqlite3.Database, path: string): void {
  const [broken] = db.pragma('foreign_key_check') as { table: string; parent: string }[]
  if (broken === undefined) return
  const text = `state database ${path} cannot be upgraded: ${broken.table} refers to a missing row of ${broken.parent}`
  throw new PodlibError('ERR_STORE_CORRUPT', text, { details: { path, ...broken } })
}
