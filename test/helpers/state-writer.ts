// Adds 1 to the restart count of a container, `times` times, reading it first: what two programs do to one store.
import { getContainer, updateContainer } from '../../src/state/container-table.ts'
import { openDatabase } from '../../src/state/database.ts'

const [path, id, times] = process.argv.slice(2) as [string, string, string]
const db = await openDatabase(path)
for (let i = 0; i < Number(times); i++) {
  await db.transaction(() => {
    const row = getContainer(db, id)
    if (row) updateContainer(db, id, { restartCount: row.restartCount + 1 })
  })
}
db.close()
