import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import type { ContainerFilter } from '../../../src/state/container-filter.ts'
import { listContainers } from '../../../src/state/container-listing.ts'
import type { NewContainerRow } from '../../../src/state/container-row.ts'
import { deleteContainer, insertContainer, updateContainer } from '../../../src/state/container-table.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { insertPod } from '../../../src/state/pod-table.ts'
import { containerRow, idOf, podRow } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
let db: Database
beforeEach(async () => {
  db = await openDatabase(join(newDirectory(), 'podlib.db'))
})
afterEach(() => db.close())

const add = (name: string, changes: Partial<NewContainerRow> = {}, createdAt = Date.now()) =>
  db.transaction(() => insertContainer(db, containerRow(name, { createdAt, ...changes }), {}))
const rename = (name: string, newName: string) => db.transaction(() => updateContainer(db, idOf(name), { name: newName }))
const remove = (name: string) => db.transaction(() => deleteContainer(db, idOf(name)))
const names = (filter?: ContainerFilter) => listContainers(db, filter).map(({ name }) => name)

describe('a listing', () => {
  test('shows the summary, oldest first', async () => {
    await add('z', { labels: { a: '1' } })
    await add('a')
    const [first, second] = listContainers(db)
    expect([first?.name, second?.name]).toEqual(['z', 'a'])
    expect(first).toMatchObject({ status: 'configured', labelsJson: '{"a":"1"}', commandJson: '["sleep","100"]' })
  })

  test('keeps to every condition of its filter', async () => {
    await db.transaction(() => insertPod(db, podRow('pod')))
    await add('one', { podId: idOf('pod'), labels: { app: 'web', 'x."y': '%' } })
    await add('two', { podId: idOf('pod'), labels: { app: 'db' }, ephemeral: true })
    await add('three', { labels: { app: 'web' } })
    expect(names({ podId: idOf('pod') })).toEqual(['one', 'two'])
    expect(names({ labels: { app: 'web' } })).toEqual(['one', 'three'])
    expect(names({ labels: { app: 'web', 'x."y': '%' } })).toEqual(['one'])
    expect(names({ labels: { 'x."y': '' } })).toEqual([])
    expect(names({ labels: { app: true } })).toEqual(['one', 'two', 'three'])
    expect(names({ labels: { app: 'web', 'x."y': true } })).toEqual(['one'])
    expect(names({ names: ['t*'] })).toEqual(['two', 'three'])
    expect(names({ names: ['one', 't?o', 'ne'] })).toEqual(['one', 'two'])
    expect(names({ names: ['[ot]*'] })).toEqual([])
    expect(names({ names: [] })).toEqual([])
    expect(names({ createdBefore: 0 })).toEqual([])
    expect(names({ createdBefore: Date.now() + 1_000_000, names: ['one'] })).toEqual(['one'])
    expect(names({ ephemeral: true })).toEqual(['two'])
    expect(names({ status: ['configured', 'running'], podId: idOf('pod'), ephemeral: false })).toEqual(['one'])
    expect(names({ status: [] })).toEqual([])
    expect(names({ imageId: idOf('image') })).toEqual([])
  })
})

describe('a further listing', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b', 'c', 'd']) await add(name)
    expect(names()).toEqual(['a', 'b', 'c', 'd'])
  })

  test('reads only the rows that have changed', async () => {
    await rename('b', 'renamed')
    const all = jest.spyOn(db, 'all')
    expect(names()).toEqual(['a', 'renamed', 'c', 'd'])
    const read = all.mock.results.flatMap(({ value }) => value as object[]).filter((row) => 'labelsJson' in row)
    expect(read).toMatchObject([{ name: 'renamed' }])
  })

  test('remembers what a listing of a few did not ask for', async () => {
    await rename('b', 'renamed')
    expect(names({ names: ['renamed'] })).toEqual(['renamed'])
    const all = jest.spyOn(db, 'all')
    expect(names()).toEqual(['a', 'renamed', 'c', 'd'])
    const read = all.mock.results.flatMap(({ value }) => value as object[]).filter((row) => 'labelsJson' in row)
    expect(read).toEqual([])
  })

  test('shows what another program has changed, added and removed', async () => {
    const other = await openDatabase(db.path)
    await other.transaction(() => {
      updateContainer(other, idOf('a'), { name: 'changed' })
      deleteContainer(other, idOf('b'))
      insertContainer(other, containerRow('e'), {})
    })
    other.close()
    expect(names()).toEqual(['changed', 'c', 'd', 'e'])
  })

  test('knows a new container from the one whose row number it has', async () => {
    await remove('d')
    await add('new', {}, Date.now() + 1)
    expect(names()).toEqual(['a', 'b', 'c', 'new'])
  })

  test('remembers nothing that a transaction has undone', async () => {
    const undone = db.transaction(() => {
      updateContainer(db, idOf('a'), { name: 'undone' })
      expect(names()).toEqual(['undone', 'b', 'c', 'd'])
      throw new Error('no')
    })
    await expect(undone).rejects.toThrow('no')
    await rename('a', 'kept')
    expect(names()).toEqual(['kept', 'b', 'c', 'd'])
  })

  test('is the same as the first, whatever has happened and whatever it is asked for', async () => {
    const step = fc.record({
      verb: fc.constantFrom('add', 'rename', 'remove', 'undo'),
      which: fc.nat(7),
      filter: fc.constantFrom<ContainerFilter>({}, { names: ['*1*'] }, { ephemeral: true }),
    })
    let time = Date.now()
    let count = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        for (const { verb, which, filter } of steps) {
          const all = listContainers(db)
          const id = all[which % Math.max(all.length, 1)]?.id
          const name = `c${count++}`
          if (verb === 'add') await add(name, { ephemeral: which > 3 }, ++time)
          else if (id !== undefined && verb === 'rename') await db.transaction(() => updateContainer(db, id, { name }))
          else if (id !== undefined && verb === 'remove') await db.transaction(() => deleteContainer(db, id))
          else if (id !== undefined) await undo(id, name)
          const fresh = await openDatabase(db.path)
          expect(listContainers(db, filter)).toEqual(listContainers(fresh, filter))
          fresh.close()
        }
      }),
      { numRuns: 30 },
    )
  })

  async function undo(id: string, name: string): Promise<void> {
    const undone = db.transaction(() => {
      updateContainer(db, id, { name })
      listContainers(db)
      throw new Error('no')
    })
    await expect(undone).rejects.toThrow('no')
  }
})
