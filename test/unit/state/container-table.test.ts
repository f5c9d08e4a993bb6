import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { SqlValue } from '../../../src/state/connection.ts'
import { addDependencies, listDependants, listDependencies } from '../../../src/state/container-dependency-table.ts'
import type { NewContainerRow } from '../../../src/state/container-row.ts'
import {
  deleteContainer,
  findContainer,
  getContainer,
  getContainerConfig,
  insertContainer,
  loadContainers,
  loadUnsettledContainers,
  setContainerState,
  updateContainer,
  updateContainerConfig,
} from '../../../src/state/container-table.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { getExitRecord, pruneExitRecords, putExitRecord } from '../../../src/state/exit-record-table.ts'
import { getName } from '../../../src/state/name-table.ts'
import { deletePod, findPod, insertPod, listPods, updatePod } from '../../../src/state/pod-table.ts'
import { brandTransition } from '../../../src/state/transition.ts'
import { containerRow, idOf, podRow } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
let db: Database
beforeEach(async () => {
  db = await openDatabase(join(newDirectory(), 'podlib.db'))
})
afterEach(() => db.close())

const add = (name: string, changes: Partial<NewContainerRow> = {}) =>
  db.transaction(() => insertContainer(db, containerRow(name, changes), { name, nested: [1, { two: 2 }] }))

describe('a container row', () => {
  test('is unsettled while the host may hold something of it, or a process may have left it', async () => {
    for (const [name, changes] of [
      ['settled', {}],
      ['begun', { initStep: 'begun' }],
      ['lent', { ephemeral: true }],
      ['running', {}],
    ] as const)
      await add(name, changes)
    const running = findContainer(db, 'running')
    await db.transaction(() => setContainerState(db, running.id, brandTransition({ from: 'configured', to: 'running' })))
    expect(loadUnsettledContainers(db).map(({ name }) => name)).toEqual(['begun', 'lent', 'running'])
  })

  test('comes back as it went in, flags and JSON included', async () => {
    const changes = {
      labels: { 'a.b/c': 'ü', '': 'empty' },
      command: ['sh', '-c', 'echo "$1"'],
      ports: [{ hostIp: '::', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
      ephemeral: true,
      oomKilled: true,
      network: { eth0: ['10.88.0.2/16'] },
    }
    const inserted = await add('c', changes)
    expect(inserted).toEqual({ ...containerRow('c', changes), status: 'configured', generation: 1 })
    expect(getContainer(db, idOf('c'))).toEqual(inserted)
    expect(loadContainers(db)).toEqual([inserted])
    expect(getContainerConfig(db, idOf('c'))).toEqual({ name: 'c', nested: [1, { two: 2 }] })
    expect(getContainer(db, idOf('other'))).toBeUndefined()
    expect(getContainerConfig(db, idOf('other'))).toBeUndefined()
  })

  test('can be changed but for its status, and counts its changes', async () => {
    await add('c')
    const changed = await db.transaction(() =>
      updateContainer(db, idOf('c'), { initStep: 'mounted', stoppedByUser: true, labels: { a: 'b' } }),
    )
    expect(changed).toMatchObject({ initStep: 'mounted', stoppedByUser: true, labels: { a: 'b' }, status: 'configured', generation: 2 })
    expect(getContainer(db, idOf('c'))).toEqual(changed)
    const sneaky = { status: 'running' } as object
    await expect(db.transaction(() => updateContainer(db, idOf('c'), sneaky))).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
    const misspelt = { initstep: 'x' } as object
    await expect(db.transaction(() => updateContainer(db, idOf('c'), misspelt))).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
    await expect(db.transaction(() => updateContainer(db, idOf('x'), {}))).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
    await db.transaction(() => updateContainerConfig(db, idOf('c'), { memory: 1 }))
    expect(getContainerConfig(db, idOf('c'))).toEqual({ memory: 1 })
    expect(getContainer(db, idOf('c'))?.generation).toBe(3)
    await expect(db.transaction(() => updateContainerConfig(db, idOf('x'), {}))).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
  })

  test('of a missing image or pod is refused with the name of what is missing', async () => {
    await expect(add('c', { imageId: idOf('image') })).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    await expect(add('c', { podId: idOf('pod') })).rejects.toMatchObject({ code: 'ERR_POD_NOT_FOUND' })
    expect(getName(db, 'c')).toBeUndefined()
  })

  test('goes with all that belongs to it, but for its exit record', async () => {
    await add('c')
    const record = { containerId: idOf('c'), exitCode: 137, exitSignal: 'SIGKILL', oomKilled: true, finishedAt: 5 }
    await db.transaction(() => putExitRecord(db, record))
    await db.transaction(() => deleteContainer(db, idOf('c')))
    expect(getContainer(db, idOf('c'))).toBeUndefined()
    expect(getContainerConfig(db, idOf('c'))).toBeUndefined()
    expect(getName(db, 'c')).toBeUndefined()
    expect(getExitRecord(db, idOf('c'))).toEqual(record)
    await expect(db.transaction(() => deleteContainer(db, idOf('c')))).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
  })

  test('that others need cannot go before them', async () => {
    await add('base')
    await add('top')
    await db.transaction(() => addDependencies(db, idOf('top'), [idOf('base'), idOf('base')]))
    expect(listDependencies(db, idOf('top'))).toEqual([idOf('base')])
    expect(listDependants(db, idOf('base'))).toEqual([idOf('top')])
    const early = db.transaction(() => deleteContainer(db, idOf('base')))
    await expect(early).rejects.toMatchObject({ code: 'ERR_CONTAINER_IN_USE', details: { dependants: [idOf('top')] } })
    await db.transaction(() => {
      deleteContainer(db, idOf('top'))
      deleteContainer(db, idOf('base'))
    })
  })
})

test('exit records are pruned when they are old and their container is gone', async () => {
  await add('here')
  const record = { exitCode: 0, exitSignal: null, oomKilled: false }
  await db.transaction(() => {
    putExitRecord(db, { ...record, containerId: idOf('here'), finishedAt: 1 })
    putExitRecord(db, { ...record, containerId: idOf('gone'), finishedAt: 1 })
    putExitRecord(db, { ...record, containerId: idOf('fresh'), finishedAt: 100 })
  })
  expect(await db.transaction(() => pruneExitRecords(db, 50))).toBe(1)
  expect([getExitRecord(db, idOf('here')), getExitRecord(db, idOf('gone')), getExitRecord(db, idOf('fresh'))]).toEqual([
    expect.anything(),
    undefined,
    expect.anything(),
  ])
})

describe('a status', () => {
  test('changes by a transition, together with the columns that go with it', async () => {
    await add('c')
    const transition = brandTransition({ from: 'configured', to: 'created', changes: { pid: 42, pidStartTime: 7, bootId: 'b' } })
    const row = await db.transaction(() => setContainerState(db, idOf('c'), transition))
    expect(row).toMatchObject({ status: 'created', pid: 42, pidStartTime: 7, bootId: 'b', generation: 2 })
    expect(getContainer(db, idOf('c'))).toEqual(row)
  })

  test('is not changed by a transition that was decided on another status or generation', async () => {
    await add('c')
    const stale = brandTransition({ from: 'running', to: 'paused' })
    await expect(db.transaction(() => setContainerState(db, idOf('c'), stale))).rejects.toMatchObject({
      code: 'ERR_CONTAINER_STATE',
      details: { status: 'configured', from: 'running', to: 'paused' },
    })
    await db.transaction(() => updateContainer(db, idOf('c'), { restartCount: 1 }))
    const fenced = brandTransition({ from: 'configured', to: 'created', generation: 1 })
    await expect(db.transaction(() => setContainerState(db, idOf('c'), fenced))).rejects.toMatchObject({ code: 'ERR_CONTAINER_STATE' })
    const lost = db.transaction(() => setContainerState(db, idOf('x'), stale))
    await expect(lost).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
    expect(getContainer(db, idOf('c'))?.status).toBe('configured')
  })

  test('that nobody knows is refused by the schema', async () => {
    await add('c')
    const unknown = brandTransition({ from: 'configured', to: 'dancing' as 'running' })
    await expect(db.transaction(() => setContainerState(db, idOf('c'), unknown))).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
  })
})

describe('names', () => {
  test('are shared by containers and pods', async () => {
    await add('web')
    await expect(db.transaction(() => insertPod(db, podRow('web')))).rejects.toMatchObject({
      code: 'ERR_POD_EXISTS',
      message: expect.stringContaining(`container ${idOf('web')}`),
    })
    await db.transaction(() => insertPod(db, podRow('shop')))
    await expect(add('shop')).rejects.toMatchObject({ code: 'ERR_CONTAINER_EXISTS', details: { owner: idOf('shop'), ownerKind: 'pod' } })
    await expect(add('second', { name: 'web' })).rejects.toMatchObject({ code: 'ERR_CONTAINER_EXISTS' })
  })

  test('are free again after a rename or a removal', async () => {
    await add('web')
    await db.transaction(() => updateContainer(db, idOf('web'), { name: 'web' }))
    await db.transaction(() => updateContainer(db, idOf('web'), { name: 'old' }))
    await add('new', { name: 'web' })
    await expect(db.transaction(() => updateContainer(db, idOf('web'), { name: 'web' }))).rejects.toMatchObject({
      code: 'ERR_CONTAINER_EXISTS',
    })
    expect(findContainer(db, 'old').id).toBe(idOf('web'))
    await db.transaction(() => deleteContainer(db, idOf('web')))
    await db.transaction(() => insertPod(db, podRow('pod', { name: 'old' })))
    expect(getName(db, 'old')).toEqual({ name: 'old', kind: 'pod', id: idOf('pod') })
  })
})

describe('finding a container', () => {
  test('goes by full id, then name, then beginning of an id', async () => {
    const id = idOf('a')
    await add('a')
    await add('b', { name: id.slice(0, 6) })
    expect(findContainer(db, id).id).toBe(id)
    expect(findContainer(db, id.slice(0, 12)).id).toBe(id)
    expect(findContainer(db, id.slice(0, 6)).id).toBe(idOf('b'))
    expect(findContainer(db, 'a').id).toBe(id)
  })

  test('names the candidates of an ambiguous beginning', async () => {
    const ids = ['abc1', 'abc2', 'abd'].map((start) => start.padEnd(64, '0'))
    for (const [i, id] of ids.entries()) await add(`c${i}`, { id })
    expect(() => findContainer(db, 'abc')).toThrow(
      expect.objectContaining({ code: 'ERR_CONTAINER_AMBIGUOUS', details: { given: 'abc', candidates: [ids[0], ids[1]] } }),
    )
    expect(findContainer(db, 'abd').id).toBe(ids[2])
  })

  test.each(['', 'zzz', 'ABC', '%', '_', "' OR 1=1", 'abc\0'])('does not find %j', async (given) => {
    await add('c', { id: 'abc'.padEnd(64, '0') })
    expect(() => findContainer(db, given)).toThrow(expect.objectContaining({ code: 'ERR_CONTAINER_NOT_FOUND' }))
  })

  test('does not find a pod', async () => {
    await db.transaction(() => insertPod(db, podRow('pod')))
    expect(() => findContainer(db, 'pod')).toThrow(expect.objectContaining({ code: 'ERR_CONTAINER_NOT_FOUND' }))
    expect(() => findContainer(db, idOf('pod'))).toThrow(expect.objectContaining({ code: 'ERR_CONTAINER_NOT_FOUND' }))
  })

  test('by a beginning agrees with comparing all ids', async () => {
    const digit = fc.constantFrom('0', '1', 'f')
    const start = fc.array(digit, { minLength: 1, maxLength: 4 }).map((digits) => digits.join(''))
    let round = 0
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(start, { maxLength: 8, selector: (word) => word.padEnd(64, '0') }), start, async (starts, given) => {
        const store = await openDatabase(join(newDirectory(), 'podlib.db'))
        const ids = starts.map((word) => word.padEnd(64, '0'))
        await store.transaction(() => {
          for (const [i, id] of ids.entries()) insertContainer(store, containerRow(`n${round++}-${i}`, { id }), {})
        })
        const expected = ids.filter((id) => id.startsWith(given)).sort()
        const found = () => findContainer(store, given).id
        if (expected.length === 1) expect(found()).toBe(expected[0])
        else if (expected.length === 0) expect(found).toThrow(expect.objectContaining({ code: 'ERR_CONTAINER_NOT_FOUND' }))
        else expect(found).toThrow(expect.objectContaining({ details: { given, candidates: expected } }))
        store.close()
      }),
      { numRuns: 25 },
    )
  })
})

test('a container is found by walking indexes, whatever it is named by', async () => {
  await add('web')
  const plans: string[] = []
  const explain = (sql: string, parameters: SqlValue[]) =>
    plans.push(...db.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...parameters).map(({ detail }) => detail))
  const explained = Object.assign(Object.create(db) as Database, {
    read: <T>(fn: () => T) => fn(),
    get: (sql: string, ...parameters: SqlValue[]) => explain(sql, parameters) && db.get(sql, ...parameters),
    all: (sql: string, ...parameters: SqlValue[]) => explain(sql, parameters) && db.all(sql, ...parameters),
  })
  for (const given of ['web', idOf('web'), idOf('web').slice(0, 12)]) {
    const { id } = findContainer(explained, given)
    expect(getContainerConfig(explained, id)).toBeDefined()
  }
  expect(plans.length).toBeGreaterThan(5)
  expect(plans.filter((plan) => !plan.startsWith('SEARCH'))).toEqual([])
})

describe('a pod row', () => {
  test('comes back, changes, and goes when it is empty', async () => {
    const inserted = await db.transaction(() => insertPod(db, podRow('pod', { labels: { a: 'b' }, config: { share: ['net'] } })))
    expect(findPod(db, idOf('pod').slice(0, 8))).toEqual(inserted)
    expect(listPods(db)).toEqual([inserted])
    await add('infra', { podId: idOf('pod') })
    const changed = await db.transaction(() => updatePod(db, idOf('pod'), { infraId: idOf('infra'), removing: true }))
    expect(changed).toEqual({ ...inserted, infraId: idOf('infra'), removing: true, generation: 2 })
    expect(findPod(db, 'pod')).toEqual(changed)
    const early = db.transaction(() => deletePod(db, idOf('pod')))
    await expect(early).rejects.toMatchObject({ code: 'ERR_POD_IN_USE', details: { containers: [idOf('infra')] } })
    await db.transaction(() => deleteContainer(db, idOf('infra')))
    expect(findPod(db, 'pod').infraId).toBeNull()
    await db.transaction(() => deletePod(db, idOf('pod')))
    expect(() => findPod(db, 'pod')).toThrow(expect.objectContaining({ code: 'ERR_POD_NOT_FOUND' }))
    await expect(db.transaction(() => updatePod(db, idOf('pod'), {}))).rejects.toMatchObject({ code: 'ERR_POD_NOT_FOUND' })
  })

  test('is reported with its rivals when the beginning of its id is not enough', async () => {
    for (const start of ['aa1', 'aa2']) await db.transaction(() => insertPod(db, podRow(start, { id: start.padEnd(64, '0') })))
    expect(() => findPod(db, 'aa')).toThrow(expect.objectContaining({ code: 'ERR_POD_AMBIGUOUS' }))
    await expect(db.transaction(() => updatePod(db, 'aa1'.padEnd(64, '0'), { name: 'aa2' }))).rejects.toMatchObject({
      code: 'ERR_POD_EXISTS',
    })
  })
})
