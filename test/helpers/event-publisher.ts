// Publishes events of containers c0, c1, ... into a store.
import { createEventLog } from '../../src/events/event-log.ts'
import { openDatabase } from '../../src/state/database.ts'

const [path, count, keep] = process.argv.slice(2) as [string, string, string?]
const db = await openDatabase(path)
const log = createEventLog({ db, ...(keep && { keep: Number(keep) }) })
for (let i = 0; i < Number(count); i++) {
  await log.publish({ type: 'container', action: 'start', id: `c${i}`, name: `c${i}`, attributes: {} })
}
db.close()
