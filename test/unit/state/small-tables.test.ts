import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { deleteContainer, insertContainer } from '../../../src/state/container-table.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { deleteExec, findExec, getExec, insertExec, listExecs, updateExec } from '../../../src/state/exec-table.ts'
import { getMeta, setMeta } from '../../../src/state/meta-table.ts'
import {
  deleteAddresses,
  deleteNetwork,
  getNetwork,
  insertAddress,
  insertNetwork,
  listAddresses,
  listNetworks,
  updateNetwork,
} from '../../../src/state/network-table.ts'
import { deleteSecret, getSecret, insertSecret, listSecrets, updateSecret } from '../../../src/state/secret-table.ts'
import {
  deleteVolume,
  getVolume,
  insertVolume,
  listContainersOfVolume,
  listVolumes,
  listVolumesOfContainer,
  updateVolume,
  useVolume,
} from '../../../src/state/volume-table.ts'
import { containerRow, idOf } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
let db: Database
beforeEach(async () => {
  db = await openDatabase(join(newDirectory(), 'podlib.db'))
  await db.transaction(() => insertContainer(db, containerRow('c'), {}))
})
afterEach(() => db.close())

describe('an exec session', () => {
  const row = {
    id: idOf('exec'),
    containerId: idOf('c'),
    status: 'created' as const,
    pid: null,
    pidStartTime: null,
    exitCode: null,
    exitSignal: null,
    createdAt: 1,
    finishedAt: null,
    config: { command: ['ls'] },
  }

  test('comes back, changes, and goes with its container', async () => {
    await db.transaction(() => insertExec(db, row))
    expect(getExec(db, row.id)).toEqual(row)
    await db.transaction(() => updateExec(db, row.id, { status: 'exited', exitCode: 3 }))
    expect(listExecs(db, idOf('c'))).toEqual([{ ...row, status: 'exited', exitCode: 3 }])
    expect(findExec(db, row.id.slice(0, 6)).exitCode).toBe(3)
    await db.transaction(() => deleteContainer(db, idOf('c')))
    expect(() => findExec(db, row.id)).toThrow(expect.objectContaining({ code: 'ERR_EXEC_NOT_FOUND' }))
  })

  test('needs its container', async () => {
    const lost = db.transaction(() => insertExec(db, { ...row, containerId: idOf('x') }))
    await expect(lost).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' })
    await expect(db.transaction(() => updateExec(db, row.id, { pid: 1 }))).rejects.toMatchObject({ code: 'ERR_EXEC_NOT_FOUND' })
    await db.transaction(() => deleteExec(db, row.id))
  })
})

describe('a volume', () => {
  const row = {
    name: 'data',
    driver: 'local',
    anonymous: false,
    createdAt: 1,
    labels: { a: 'b' },
    options: { type: 'tmpfs' },
    mountCount: 0,
    needsCopyUp: true,
    removing: false,
  }

  test('comes back, changes, and cannot go while a container has it', async () => {
    await db.transaction(() => insertVolume(db, row))
    await expect(db.transaction(() => insertVolume(db, row))).rejects.toMatchObject({ code: 'ERR_VOLUME_EXISTS' })
    await db.transaction(() => updateVolume(db, 'data', { mountCount: 1, needsCopyUp: false }))
    expect(getVolume(db, 'data')).toEqual({ ...row, mountCount: 1, needsCopyUp: false })
    await db.transaction(() => useVolume(db, { containerId: idOf('c'), destination: '/data', name: 'data' }))
    expect(listVolumesOfContainer(db, idOf('c'))).toEqual([{ destination: '/data', name: 'data' }])
    expect(listContainersOfVolume(db, 'data')).toEqual([idOf('c')])
    const early = db.transaction(() => deleteVolume(db, 'data'))
    await expect(early).rejects.toMatchObject({ code: 'ERR_VOLUME_IN_USE', details: { containers: [idOf('c')] } })
    await db.transaction(() => {
      deleteContainer(db, idOf('c'))
      deleteVolume(db, 'data')
    })
    expect(listVolumes(db)).toEqual([])
  })

  test('that is missing is named', async () => {
    const use = { containerId: idOf('c'), destination: '/data', name: 'none' }
    for (const act of [() => useVolume(db, use), () => updateVolume(db, 'none', { mountCount: 1 }), () => deleteVolume(db, 'none')]) {
      await expect(db.transaction(act)).rejects.toMatchObject({ code: 'ERR_VOLUME_NOT_FOUND', message: expect.stringContaining('none') })
    }
  })
})

describe('a network', () => {
  const row = { id: idOf('net'), name: 'front', driver: 'bridge', createdAt: 1, labels: {}, config: { subnet: '10.89.0.0/24' } }

  test('gives an address to one container at a time', async () => {
    await db.transaction(() => {
      insertNetwork(db, row)
      insertContainer(db, containerRow('d'), {})
      insertAddress(db, { networkId: row.id, address: '10.89.0.2', containerId: idOf('c') })
    })
    const taken = { networkId: row.id, address: '10.89.0.2', containerId: idOf('d') }
    await expect(db.transaction(() => insertAddress(db, taken))).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' })
    await expect(db.transaction(() => deleteNetwork(db, row.id))).rejects.toMatchObject({
      code: 'ERR_NETWORK_IN_USE',
      details: { containers: [idOf('c')] },
    })
    await db.transaction(() => deleteAddresses(db, idOf('c'), row.id))
    await db.transaction(() => insertAddress(db, taken))
    await db.transaction(() => deleteAddresses(db, idOf('d')))
    expect(listAddresses(db, row.id)).toEqual([])
    await db.transaction(() => deleteNetwork(db, row.id))
    await expect(db.transaction(() => insertAddress(db, taken))).rejects.toMatchObject({ code: 'ERR_NETWORK_NOT_FOUND' })
  })

  test('is found by name and by id, and its name is its own', async () => {
    await db.transaction(() => insertNetwork(db, row))
    expect(getNetwork(db, 'front')).toEqual(row)
    expect(getNetwork(db, row.id)).toEqual(row)
    await expect(db.transaction(() => insertNetwork(db, { ...row, id: idOf('other') }))).rejects.toMatchObject({
      code: 'ERR_NETWORK_EXISTS',
    })
    await db.transaction(() => updateNetwork(db, row.id, { labels: { a: 'b' } }))
    expect(listNetworks(db)).toEqual([{ ...row, labels: { a: 'b' } }])
    for (const act of [() => updateNetwork(db, 'x', { labels: {} }), () => deleteNetwork(db, 'x')]) {
      await expect(db.transaction(act)).rejects.toMatchObject({ code: 'ERR_NETWORK_NOT_FOUND' })
    }
  })
})

test('a secret is kept without its value', async () => {
  const row = { id: 'a1', name: 'token', driver: 'file', createdAt: 1, updatedAt: 1, labels: {}, options: {} }
  await db.transaction(() => insertSecret(db, row))
  await expect(db.transaction(() => insertSecret(db, row))).rejects.toMatchObject({ code: 'ERR_SECRET_EXISTS' })
  await db.transaction(() => updateSecret(db, 'a1', { updatedAt: 2 }))
  expect([getSecret(db, 'token'), getSecret(db, 'a1')]).toEqual([
    { ...row, updatedAt: 2 },
    { ...row, updatedAt: 2 },
  ])
  await db.transaction(() => deleteSecret(db, 'a1'))
  expect(listSecrets(db)).toEqual([])
  for (const act of [() => updateSecret(db, 'a1', { updatedAt: 3 }), () => deleteSecret(db, 'a1')]) {
    await expect(db.transaction(act)).rejects.toMatchObject({ code: 'ERR_SECRET_NOT_FOUND' })
  }
})

test('facts about the store are kept and replaced', async () => {
  expect(getMeta(db, 'bootId')).toBeUndefined()
  await db.transaction(() => setMeta(db, 'bootId', 'one'))
  await db.transaction(() => setMeta(db, 'bootId', 'two'))
  expect(getMeta(db, 'bootId')).toBe('two')
})
