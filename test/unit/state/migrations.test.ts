import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import Sqlite from 'better-sqlite3'
import { getContainer } from '../../../src/state/container-table.ts'
import { openDatabase } from '../../../src/state/database.ts'
import { isCurrent, MIGRATIONS, type Migration, migrate } from '../../../src/state/migrations.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()

/** A store as an older podlib left it, and steps that lead on from there. */
const PARENTS: Migration = {
  name: 'first',
  sql: `CREATE TABLE parents (id TEXT PRIMARY KEY);
        CREATE TABLE children (id TEXT PRIMARY KEY, parent TEXT REFERENCES parents ON DELETE CASCADE);
        INSERT INTO parents VALUES ('p'); INSERT INTO children VALUES ('c', 'p');`,
}
const REBUILD: Migration = {
  name: 'parents get a name',
  sql: `CREATE TABLE new_parents (id TEXT PRIMARY KEY, name TEXT NOT NULL);
        INSERT INTO new_parents SELECT id, 'called ' || id FROM parents;
        DROP TABLE parents; ALTER TABLE new_parents RENAME TO parents;`,
}

describe('an upgrade', () => {
  let db: InstanceType<typeof Sqlite>
  beforeEach(() => {
    db = new Sqlite(join(newDirectory(), 'podlib.db'))
    migrate(db, 'store', [PARENTS])
  })
  afterEach(() => {
    db.close()
  })

  test('rebuilds a table without losing the rows that refer to it', () => {
    migrate(db, 'store', [PARENTS, REBUILD])
    expect(db.prepare('SELECT children.id, name FROM children JOIN parents ON parent = parents.id').all()).toEqual([
      { id: 'c', name: 'called p' },
    ])
    expect(db.pragma('user_version', { simple: true })).toBe(2)
    expect(db.pragma('foreign_keys', { simple: true })).toBe(1)
    expect(isCurrent(db, 'store', [PARENTS, REBUILD])).toBe(true)
  })

  test('that was made already does nothing', () => {
    migrate(db, 'store', [PARENTS, REBUILD])
    migrate(db, 'store', [PARENTS, REBUILD])
    expect(db.prepare('SELECT count(*) AS n FROM parents').get()).toEqual({ n: 1 })
  })

  test('that fails half-way leaves the old schema and its rows', () => {
    const failing = { name: 'half', sql: `${REBUILD.sql} INSERT INTO nowhere VALUES (1);` }
    expect(() => migrate(db, 'store', [PARENTS, failing])).toThrow(/nowhere/)
    expect(db.inTransaction).toBe(false)
    expect(db.pragma('user_version', { simple: true })).toBe(1)
    expect(db.prepare('SELECT * FROM parents').all()).toEqual([{ id: 'p' }])
    expect(db.pragma('foreign_keys', { simple: true })).toBe(1)
  })

  test('that leaves a reference to nothing is undone', () => {
    const careless = { name: 'careless', sql: 'DELETE FROM parents;' }
    expect(() => migrate(db, 'store', [PARENTS, careless])).toThrow(expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }))
    expect(db.prepare('SELECT * FROM parents').all()).toEqual([{ id: 'p' }])
  })

  test('meets the lock of another process with SQLITE_BUSY', () => {
    const other = new Sqlite(db.name, { timeout: 0 })
    other.exec('BEGIN IMMEDIATE')
    db.pragma('busy_timeout = 0')
    expect(() => migrate(db, 'store', [PARENTS, REBUILD])).toThrow(expect.objectContaining({ code: 'SQLITE_BUSY' }))
    other.close()
    migrate(db, 'store', [PARENTS, REBUILD])
  })
})

describe('a store', () => {
  test('of a newer podlib is refused and left alone', async () => {
    const path = join(newDirectory(), 'podlib.db')
    const db = await openDatabase(path)
    db.close()
    const newer = new Sqlite(path)
    newer.pragma(`user_version = ${MIGRATIONS.length + 1}`)
    newer.close()
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'ERR_STORE_VERSION', details: { version: MIGRATIONS.length + 1 } })
    await expect(openDatabase(path, { readonly: true })).rejects.toMatchObject({ code: 'ERR_STORE_VERSION' })
  })

  test('of an older podlib cannot be opened read-only', async () => {
    const path = join(newDirectory(), 'podlib.db')
    new Sqlite(path).close()
    const older = new Sqlite(path)
    older.pragma('journal_mode = WAL')
    older.close()
    await expect(openDatabase(path, { readonly: true })).rejects.toMatchObject({ code: 'ERR_STORE_VERSION' })
  })

  test('of another program is refused and left alone', async () => {
    const path = join(newDirectory(), 'podlib.db')
    const foreign = new Sqlite(path)
    foreign.exec('CREATE TABLE bookmarks (url TEXT)')
    foreign.close()
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    const again = new Sqlite(path)
    expect(again.prepare('SELECT name FROM sqlite_master').all()).toEqual([{ name: 'bookmarks' }])
    expect(again.pragma('journal_mode', { simple: true })).toBe('delete')
    again.close()
  })

  test('that many openers make at once is made once', async () => {
    const path = join(newDirectory(), 'podlib.db')
    const opened = await Promise.all([1, 2, 3].map(() => openDatabase(path)))
    expect(opened[0]?.get('PRAGMA user_version')).toEqual({ user_version: MIGRATIONS.length })
    for (const db of opened) db.close()
  })

  test.each([1, 2])('of schema %i keeps its containers, which have what came later at its default', async (version) => {
    const path = join(newDirectory(), 'podlib.db')
    const old = new Sqlite(path)
    migrate(old, path, MIGRATIONS.slice(0, version))
    old.exec(`INSERT INTO images (id, created_at, stored_at, os, architecture, variant, size, labels, config)
      VALUES ('${'1'.repeat(64)}', 0, 0, 'linux', 'amd64', '', 0, '{}', x'7b7d')`)
    const columns = old.pragma('table_info(containers)') as { name: string; type: string; notnull: number }[]
    const needed = columns.filter(({ name, notnull }) => notnull === 1 || name === 'id')
    const given: Record<string, string> = {
      id: 'c',
      name: 'kept',
      status: 'exited',
      command: '[]',
      labels: '{}',
      ports: '[]',
      network: 'null',
      warnings: '[]',
    }
    const values = needed.map(({ name }) => given[name] ?? 0)
    old
      .prepare(`INSERT INTO containers (${needed.map(({ name }) => name)}, image_id) VALUES (${needed.map(() => '?')}, ?)`)
      .run(...values, '1'.repeat(64))
    old.close()
    const db = await openDatabase(path)
    expect(getContainer(db, 'c')).toMatchObject({
      name: 'kept',
      imageId: '1'.repeat(64),
      imageStore: null,
      foreignImageId: null,
      warnings: [],
    })
    db.close()
  })
})
