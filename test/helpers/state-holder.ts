// Keeps the store's write lock for some milliseconds, then goes on living.
import { openDatabase } from '../../src/state/database.ts'
import { setMeta } from '../../src/state/meta-table.ts'

const [path, holdMs] = process.argv.slice(2) as [string, string]
const db = await openDatabase(path)
await db.transaction(() => {
  setMeta(db, 'runRoot', 'held')
  process.stdout.write('held\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(holdMs))
})
setInterval(() => {}, 1000)
