// Follows the events of a store and does nothing else.
import { createEventLog } from '../../src/events/event-log.ts'
import { openDatabase } from '../../src/state/database.ts'

const db = await openDatabase(process.argv[2] as string)
const events = createEventLog({ db }).events({ follow: true })
process.stdout.write('following\n')
await events.next()
