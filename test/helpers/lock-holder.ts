// Takes a lock, says so, and holds it: `wait` for ever, `block` with a blocked event loop for two seconds, `count` adds
// 1 to a number in a file, again and again, each time under the lock.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { flock } from '../../src/host/sys/libc.ts'
import { createLocks, type LockKind } from '../../src/lock/locks.ts'
import { holdOwnerLock } from '../../src/lock/owner-lock.ts'

const [dir, kind, id, mode, times = '0'] = process.argv.slice(2) as [string, LockKind | 'owner', string, string, string?]
const say = (text: string) => process.stdout.write(`${text}\n`)
const forEver = () => new Promise<void>(() => void setInterval(() => {}, 1000))

if (kind === 'owner') {
  await holdOwnerLock({ runRoot: dir, flock })
  say('held')
  await forEver()
} else {
  const locks = createLocks({ dir, flock })
  for (let i = 0; i < (mode === 'count' ? Number(times) : 1); i++) {
    await locks.withLock({ kind, id }, async (lock) => {
      if (mode === 'count') await addOne(lock)
      else say('held')
      if (mode === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000)
      if (mode === 'wait') await forEver()
    })
  }
}

async function addOne(lock: { discard(): void }): Promise<void> {
  const file = join(dir, 'number')
  const number = Number(readFileSync(file, 'utf8'))
  await new Promise((resolve) => setImmediate(resolve))
  writeFileSync(file, String(number + 1))
  // every removal of the lock file is a chance for the race between open and flock
  lock.discard()
}
