import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, jest, test } from '@jest/globals'
import { getContainer, insertContainer, loadContainers } from '../../../src/state/container-table.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { eventRange } from '../../../src/state/event-table.ts'
import { assertNodeApi } from '../../../src/state/load-sqlite.ts'
import { getMeta, setMeta } from '../../../src/state/meta-table.ts'
import { childPrograms } from '../../helpers/child-program.ts'
import { dirtyPages } from '../../helpers/dirty-pages.ts'
import { containerRow, idOf } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const newDirectory = temporaryDirectories()
const start = childPrograms()

async function withDatabase(fn: (db: Database) => Promise<void>): Promise<void> {
  const db = await openDatabase(join(newDirectory(), 'podlib.db'))
  try {
    await fn(db)
  } finally {
    db.close()
  }
}

describe('opening', () => {
  test('makes a store that only its owner can read, and finds it again', async () => {
    const path = join(newDirectory(), 'podlib.db')
    const first = await openDatabase(path)
    await first.transaction(() => setMeta(first, 'createdBy', 'podlib 1'))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600)
    first.close()
    const second = await openDatabase(path)
    expect(getMeta(second, 'createdBy')).toBe('podlib 1')
    expect(second.get('PRAGMA foreign_keys')).toEqual({ foreign_keys: 1 })
    second.close()
  })

  test('of a missing directory says which and what to do', async () => {
    const path = join(newDirectory(), 'missing', 'podlib.db')
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'ERR_STORE_UNREADABLE', message: expect.stringContaining(path) })
  })

  test.each([
    ['text', 'this is not a database, however long it may be '.repeat(100)],
    ['half a header', 'SQLite format 3\0'.repeat(40)],
  ])('of %s says that the store is damaged and leaves the file alone', async (_what, content) => {
    const path = join(newDirectory(), 'podlib.db')
    writeFileSync(path, content)
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect(readFileSync(path, 'utf8')).toBe(content)
  })

  test('of a directory in place of the file is refused', async () => {
    const path = newDirectory()
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'ERR_STORE_UNREADABLE' })
  })

  test('read-only makes no store', async () => {
    await expect(openDatabase(join(newDirectory(), 'podlib.db'), { readonly: true })).rejects.toMatchObject({
      code: 'ERR_STORE_UNREADABLE',
    })
  })

  test('read-only reads what another connection writes and cannot write', async () => {
    await withDatabase(async (db) => {
      const reader = await openDatabase(db.path, { readonly: true })
      await db.transaction(() => setMeta(db, 'createdBy', 'x'))
      expect(getMeta(reader, 'createdBy')).toBe('x')
      await expect(reader.transaction(() => {})).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
      reader.close()
    })
  })

  test('through a link to its directory is the same store', async () => {
    const dir = newDirectory()
    symlinkSync(dir, `${dir}/link`)
    const db = await openDatabase(join(dir, 'podlib.db'))
    const linked = await openDatabase(join(dir, 'link', 'podlib.db'))
    expect(linked.path).toBe(db.path)
    linked.close()
    db.close()
  })

  test('is refused on a node that better-sqlite3 would crash, before it is loaded', () => {
    expect(() => assertNodeApi({ napi: '9', node: '20.20.2' })).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED_NODE' }))
    expect(() => assertNodeApi({ node: '20.20.2' })).toThrow(/node-api 10/)
    expect(() => assertNodeApi({ napi: '10', node: '22.19.0' })).not.toThrow()
  })

  test('twice shares one connection, and one close leaves the other open', async () => {
    await withDatabase(async (db) => {
      const again = await openDatabase(db.path)
      await again.transaction(() => setMeta(again, 'createdBy', 'again'))
      again.close()
      again.close()
      expect(() => getMeta(again, 'createdBy')).toThrow(expect.objectContaining({ code: 'ERR_RUNTIME_CLOSED' }))
      expect(getMeta(db, 'createdBy')).toBe('again')
    })
  })

  test('by a second copy of the library in one process is refused until the first has closed', async () => {
    const db = await openDatabase(join(newDirectory(), 'podlib.db'))
    jest.resetModules()
    const copy = (await import('../../../src/state/database.ts')) as { openDatabase: typeof openDatabase }
    expect(copy.openDatabase).not.toBe(openDatabase)
    await expect(copy.openDatabase(db.path)).rejects.toMatchObject({ code: 'ERR_STORE_IN_USE' })
    const { path } = db
    db.close()
    const second = await copy.openDatabase(path)
    await expect(openDatabase(path)).rejects.toMatchObject({ code: 'ERR_STORE_IN_USE' })
    second.close()
  })
})

test('a store that four programs make at the same moment is made once and serves them all', async () => {
  const path = join(newDirectory(), 'podlib.db')
  const programs = [1, 2, 3, 4].map(() => start('event-publisher.ts', path, '50'))
  expect(await Promise.all(programs.map((program) => program.exited))).toEqual([0, 0, 0, 0])
  const db = await openDatabase(path)
  expect(eventRange(db)).toEqual({ first: 1, last: 200 })
  db.close()
})

describe('a transaction', () => {
  test('keeps all of its writes or none', async () => {
    await withDatabase(async (db) => {
      const failing = db.transaction(() => {
        setMeta(db, 'createdBy', 'nobody')
        throw new RangeError('no')
      })
      await expect(failing).rejects.toThrow(RangeError)
      expect(getMeta(db, 'createdBy')).toBeUndefined()
      expect(await db.transaction(() => 7)).toBe(7)
    })
  })

  test.each([
    ['an async function', async () => {}],
    ['a rejected promise', () => Promise.reject(new Error('late'))],
    ['a thenable', () => Object.fromEntries([['then', () => {}]])],
  ])('refuses %s and undoes its writes', async (_what, fn) => {
    await withDatabase(async (db) => {
      const refused = db.transaction(() => {
        setMeta(db, 'createdBy', 'early')
        return fn()
      })
      await expect(refused).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
      expect(getMeta(db, 'createdBy')).toBeUndefined()
    })
  })

  test('is the only place for a write', async () => {
    await withDatabase(async (db) => {
      expect(() => setMeta(db, 'createdBy', 'x')).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }))
      expect(() => db.get("INSERT INTO meta VALUES ('a', 'b') RETURNING key")).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }))
      expect(() => db.read(() => setMeta(db, 'createdBy', 'x'))).toThrow()
      expect(getMeta(db, 'createdBy')).toBeUndefined()
    })
  })

  testNeeding(['cachestat'], 'is on the disk when it is durable, and else may be in memory only', async () => {
    await withDatabase(async (db) => {
      const log = `${db.path}-wal`
      await db.transaction(() => setMeta(db, 'createdBy', 'somebody'))
      expect(dirtyPages(log)).toBeGreaterThan(0)
      await db.transaction(() => setMeta(db, 'createdBy', 'somebody else'), { durable: true })
      expect(dirtyPages(log)).toBe(0)
    })
  })

  test('that is durable leaves the event loop free while it waits for the disk, and others to write', async () => {
    await withDatabase(async (db) => {
      const order: string[] = []
      const durable = db.transaction(() => setMeta(db, 'createdBy', 'first'), { durable: true }).then(() => order.push('durable'))
      const other = db.transaction(() => setMeta(db, 'createdBy', 'second')).then(() => order.push('other'))
      await Promise.all([durable, other])
      expect(order).toEqual(['other', 'durable'])
    })
  })

  test('takes its turn in the order of the calls', async () => {
    await withDatabase(async (db) => {
      const order: number[] = []
      await Promise.all([1, 2, 3, 4].map((n) => db.transaction(() => void order.push(n))))
      expect(order).toEqual([1, 2, 3, 4])
    })
  })

  test('waits for another process without blocking the event loop', async () => {
    await withDatabase(async (db) => {
      const holder = start('state-holder.ts', db.path, '600')
      expect(await holder.line()).toBe('held')
      let ticks = 0
      const ticking = setInterval(() => ticks++, 10)
      const began = Date.now()
      await db.transaction(() => setMeta(db, 'createdBy', 'after'))
      clearInterval(ticking)
      expect(Date.now() - began).toBeGreaterThan(200)
      expect(ticks).toBeGreaterThan(10)
      expect(getMeta(db, 'runRoot')).toBe('held')
    })
  })

  test('gives up after its time, or at once when aborted, and leaves nothing', async () => {
    await withDatabase(async (db) => {
      const holder = start('state-holder.ts', db.path, '1500')
      expect(await holder.line()).toBe('held')
      await expect(db.transaction(() => setMeta(db, 'createdBy', 'x'), { timeoutMs: 100 })).rejects.toMatchObject({
        code: 'ERR_LOCK_TIMEOUT',
      })
      const abort = new AbortController()
      const aborted = db.transaction(() => setMeta(db, 'createdBy', 'x'), { signal: abort.signal })
      const queued = db.transaction(() => setMeta(db, 'createdBy', 'x'), { signal: abort.signal })
      setTimeout(() => abort.abort(new Error('enough')), 50)
      await expect(aborted).rejects.toThrow('enough')
      await expect(queued).rejects.toThrow('enough')
      expect(getMeta(db, 'createdBy')).toBeUndefined()
    })
  })

  test('that still waits when the store is closed is rejected', async () => {
    const db = await openDatabase(join(newDirectory(), 'podlib.db'))
    const waiting = db.transaction(() => {})
    db.close()
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
    await expect(db.transaction(() => {})).rejects.toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
  })

  test('of a killed process leaves nothing and blocks nobody', async () => {
    await withDatabase(async (db) => {
      const holder = start('state-holder.ts', db.path, '60000')
      expect(await holder.line()).toBe('held')
      holder.kill('SIGKILL')
      await holder.exited
      await db.transaction(() => setMeta(db, 'createdBy', 'me'), { timeoutMs: 1000 })
      expect(getMeta(db, 'runRoot')).toBeUndefined()
    })
  })

  test('loses no update of two programs that change one row 500 times each', async () => {
    await withDatabase(async (db) => {
      await db.transaction(() => insertContainer(db, containerRow('shared'), {}))
      const id = idOf('shared')
      const programs = [start('state-writer.ts', db.path, id, '500'), start('state-writer.ts', db.path, id, '500')]
      expect(await Promise.all(programs.map((program) => program.exited))).toEqual([0, 0])
      expect(getContainer(db, id)).toMatchObject({ restartCount: 1000, generation: 1001 })
    })
  })

  test('that a killed program was in the middle of is undone, whenever it was', async () => {
    await withDatabase(async (db) => {
      await db.transaction(() => insertContainer(db, containerRow('c'), {}))
      for (const ms of [0, 7, 20]) {
        const before = getContainer(db, idOf('c'))?.restartCount ?? 0
        const program = start('state-writer.ts', db.path, idOf('c'), '1000000')
        while (getContainer(db, idOf('c'))?.restartCount === before) await sleep(5)
        await sleep(ms)
        program.kill('SIGKILL')
        await program.exited
        const row = getContainer(db, idOf('c'))
        expect(row?.generation).toBe((row?.restartCount ?? 0) + 1)
        expect(db.get('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' })
      }
    })
  })

  test('says that the disk is full when it is', async () => {
    await withDatabase(async (db) => {
      db.get('PRAGMA max_page_count = 100')
      const filling = db.transaction(() => setMeta(db, 'createdBy', 'x'.repeat(2 ** 20)))
      await expect(filling).rejects.toMatchObject({ code: 'ERR_NO_SPACE' })
      db.get('PRAGMA max_page_count = 1000000')
      await db.transaction(() => setMeta(db, 'createdBy', 'y'))
      expect(getMeta(db, 'createdBy')).toBe('y')
    })
  })
})

describe('a reader', () => {
  test('sees one snapshot', async () => {
    await withDatabase(async (db) => {
      const writer = start('state-holder.ts', db.path, '0')
      db.read(() => {
        expect(getMeta(db, 'runRoot')).toBeUndefined()
        const { size } = statSync(`${db.path}-wal`)
        const until = Date.now() + 5000
        while (Date.now() < until && statSync(`${db.path}-wal`).size === size);
        expect(statSync(`${db.path}-wal`).size).toBeGreaterThan(size)
        expect(getMeta(db, 'runRoot')).toBeUndefined()
      })
      expect(await writer.line()).toBe('held')
      expect(getMeta(db, 'runRoot')).toBe('held')
    })
  })

  test('is told what a damaged page means', async () => {
    const path = join(newDirectory(), 'podlib.db')
    const db = await openDatabase(path)
    await db.transaction(() => {
      for (let i = 0; i < 200; i++) insertContainer(db, containerRow(`c${i}`), { text: 'x'.repeat(1000) })
    })
    db.close()
    const bytes = readFileSync(path)
    bytes.fill(0xff, bytes.length / 2)
    writeFileSync(path, bytes)
    const damaged = await openDatabase(path)
    expect(() => loadContainers(damaged)).toThrow(expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }))
    damaged.close()
  })
})
