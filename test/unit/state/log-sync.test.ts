import { symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { LogSync } from '../../../src/state/log-sync.ts'
import { dirtyPages } from '../../helpers/dirty-pages.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const newDirectory = temporaryDirectories()

testNeeding(['cachestat'], 'whoever asks while the log is being synced gets what was written before he asked', async () => {
  const database = join(newDirectory(), 'podlib.db')
  const log = new LogSync(database)
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
  await expect(new LogSync(join(newDirectory(), 'podlib.db')).synced()).resolves.toBeUndefined()
})

test('a log that cannot be synced is told with its path to all who wait, and the next try may succeed', async () => {
  const database = join(newDirectory(), 'podlib.db')
  const log = new LogSync(database)
  // A device has nothing to sync: EINVAL.
  symlinkSync('/dev/null', `${database}-wal`)
  const failure = { code: 'ERR_INTERNAL', message: expect.stringContaining(`${database}-wal could not be written to the disk`) }
  const [first, second] = [log.synced(), log.synced()]
  await expect(first).rejects.toMatchObject(failure)
  await expect(second).rejects.toMatchObject(failure)
  unlinkSync(`${database}-wal`)
  writeFileSync(`${database}-wal`, '')
  await expect(log.synced()).resolves.toBeUndefined()
})
