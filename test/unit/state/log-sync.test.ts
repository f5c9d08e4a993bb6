import { readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { LogSync } from '../../../src/state/log-sync.ts'
import { dirtyPages } from '../../helpers/dirty-pages.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const newDirectory = temporaryDirectories()
const unneeded = () => expect('a checkpoint').toBe('not needed')

testNeeding(['cachestat'], 'whoever asks while the log is being synced gets what was written before he asked', async () => {
  const database = join(newDirectory(), 'podlib.db')
  const log = new LogSync(database, unneeded)
  writeFileSync(`${database}-wal`, 'first')
  const first = log.synced()
  writeFileSync(`${database}-wal`, 'second', { flag: 'a' })
  const [second, third] = [log.synced(), log.synced()]
  expect(second).not.toBe(first)
  expect(third).toBe(second)
  await second
  expect(dirtyPages(`${database}-wal`)).toBe(0)
  await first
})

test('a log that is gone, because the last who had it open has closed the database, needs no sync', async () => {
  await expect(new LogSync(join(newDirectory(), 'podlib.db'), unneeded).synced()).resolves.toBeUndefined()
})

test('a log that the disk refuses is told with its path to all who wait', async () => {
  const database = join(newDirectory(), 'podlib.db')
  // A device has nothing to sync: EINVAL.
  symlinkSync('/dev/null', `${database}-wal`)
  const log = new LogSync(database, () => {
    throw new Error('another process is using the state database')
  })
  const failure = { code: 'ERR_INTERNAL', message: expect.stringContaining(`${database}-wal could not be written to the disk: EINVAL`) }
  const [first, second] = [log.synced(), log.synced()]
  await expect(first).rejects.toMatchObject(failure)
  await expect(second).rejects.toMatchObject(failure)
})

test('what the disk has refused, to whomever, comes there by a checkpoint for the next who asks', async () => {
  const directory = newDirectory()
  const database = join(directory, 'podlib.db')
  let checkpoints = 0
  const log = new LogSync(database, () => void checkpoints++)
  writeFileSync(`${database}-wal`, 'content')
  log.distrust(new Error('the disk has failed'))
  for (let call = 0; call < 2; call++) await log.synced()
  expect(checkpoints).toBe(1)
  expect(readdirSync(directory)).toEqual(['podlib.db-wal'])
})
