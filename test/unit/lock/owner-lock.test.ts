import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { flock } from '../../../src/host/sys/libc.ts'
import { holdersOf } from '../../../src/lock/file-lock.ts'
import { holdOwnerLock, tryOwnerLock } from '../../../src/lock/owner-lock.ts'
import { childPrograms } from '../../helpers/child-program.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
const start = childPrograms()

test('many owners hold it together, and nobody gets it exclusively until the last has gone', async () => {
  const runRoot = newDirectory()
  const first = await holdOwnerLock({ runRoot, flock })
  const second = await holdOwnerLock({ runRoot, flock })
  expect(tryOwnerLock({ runRoot, flock })).toBeUndefined()
  first.release()
  first.release()
  expect(tryOwnerLock({ runRoot, flock })).toBeUndefined()
  second.release()
  const exclusive = tryOwnerLock({ runRoot, flock })
  expect(exclusive).toBeDefined()
  exclusive?.release()
})

test('an owner that is killed owns no more', async () => {
  const runRoot = newDirectory()
  const owner = start('lock-holder.ts', runRoot, 'owner', '', 'wait')
  expect(await owner.line()).toBe('held')
  expect(holdersOf(join(runRoot, 'owner.lock'))).toEqual([owner.pid])
  expect(tryOwnerLock({ runRoot, flock })).toBeUndefined()
  owner.kill('SIGKILL')
  await owner.exited
  const exclusive = tryOwnerLock({ runRoot, flock })
  expect(exclusive).toBeDefined()
  exclusive?.release()
})

test('a new owner waits for the exit command that asks, and can be aborted', async () => {
  const runRoot = newDirectory()
  const asking = tryOwnerLock({ runRoot, flock })
  await expect(holdOwnerLock({ runRoot, flock, signal: AbortSignal.timeout(30) })).rejects.toMatchObject({ name: 'TimeoutError' })
  const owning = holdOwnerLock({ runRoot, flock })
  asking?.release()
  const owner = await owning
  owner.release()
})
