import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { getMeta, setMeta } from '../../../src/state/meta-table.ts'
import { childPrograms } from '../../helpers/child-program.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { until } from '../../helpers/until.ts'

const newDirectory = temporaryDirectories()
const start = childPrograms()

/** More commits than one checkpoint waits for. */
const MANY = 250

/** Something else each time: SQLite writes only pages that change. */
async function commit(db: Database, times: number, bytes = 20_000): Promise<void> {
  for (let i = 0; i < times; i++) await db.transaction(() => setMeta(db, 'createdBy', `${i} ${'xy'[i % 2]?.repeat(bytes)}`))
}

describe('a checkpoint', () => {
  test('brings what was committed into the database while the store is open', async () => {
    const db = await openDatabase(join(newDirectory(), 'podlib.db'))
    const { mtimeMs } = statSync(db.path)
    await commit(db, MANY)
    await until('the database is written', () => statSync(db.path).mtimeMs > mtimeMs)
    await commit(db, 3)
    expect(getMeta(db, 'createdBy')).toMatch(/^2 x/)
    expect(db.get('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' })
    db.close()
  })

  test('keeps the log from growing with the number of commits', async () => {
    const db = await openDatabase(join(newDirectory(), 'podlib.db'))
    let commits = 0
    for (let round = 0; round < 8; round++) {
      const { mtimeMs } = statSync(db.path)
      await commit(db, MANY)
      // One begins with a commit, when the one before is over.
      for (commits += MANY; statSync(db.path).mtimeMs === mtimeMs; commits++) {
        await commit(db, 1)
        await sleep(5)
      }
    }
    // Each commit adds more than 20,000 bytes.
    expect(statSync(`${db.path}-wal`).size).toBeLessThan((commits * 20_000) / 2)
    db.close()
  })

  test('of a log that others have left long comes with the first commit', async () => {
    const db = await openDatabase(join(newDirectory(), 'podlib.db'))
    await commit(db, 20, 500_000)
    const { mtimeMs } = statSync(db.path)
    const program = start('state-holder.ts', db.path, '0')
    expect(await program.line()).toBe('held')
    await until('the database is written', () => statSync(db.path).mtimeMs > mtimeMs)
    program.kill('SIGKILL')
    await program.exited
    expect(getMeta(db, 'createdBy')).toMatch(/^19 y/)
    db.close()
  })

  test.each([0, 1, 5, 10, 20, 40])('is over when the store is closed %i ms after it became due', async (ms) => {
    const db = await openDatabase(join(newDirectory(), 'podlib.db'))
    await commit(db, MANY)
    if (ms > 0) await sleep(ms)
    db.close()
    // Whoever closes a database last takes its log away.
    expect([`${db.path}-wal`, `${db.path}-shm`].filter(existsSync)).toEqual([])
    const again = await openDatabase(db.path)
    expect(getMeta(again, 'createdBy')).toMatch(/^249 y/)
    again.close()
  })
})
