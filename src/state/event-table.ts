import { defineTable } from './columns.ts'
import type { Database } from './database.ts'

/** Something that happened, as it is kept. */
export interface EventRow {
  /** Grows with every event of a store, in the order of the commits; never given twice. */
  readonly seq: number
  readonly time: number
  readonly type: string
  readonly action: string
  readonly subjectId: string
  readonly subjectName: string
  readonly attributes: unknown
}

/** How many events are kept. */
export const EVENTS_KEPT = 10_000
/** At most so many are dropped by one insertion, so that a smaller limit never costs one caller a long transaction. */
const TRIM_BATCH = 64

const table = defineTable<Omit<EventRow, 'seq'>>('events', {
  time: 'plain',
  type: 'plain',
  action: 'plain',
  subjectId: 'plain',
  subjectName: 'plain',
  attributes: 'json',
})
const ALL = `seq, ${table.all}`
const decode = table.decode as (record: unknown) => EventRow

/** Adds an event and drops the oldest ones beyond `keep`. @returns its number. */
export function insertEvent(db: Database, row: Omit<EventRow, 'seq'>, keep: number = EVENTS_KEPT): number {
  const seq = table.insert(db, row).rowid
  db.run(`DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= ? ORDER BY seq LIMIT ${TRIM_BATCH})`, seq - keep)
  return seq
}

/** Events with a number above `after`, oldest first. */
export function listEvents(db: Database, after: number, limit: number): EventRow[] {
  return db.all(`SELECT ${ALL} FROM events WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit).map(decode)
}

/** The number of the first kept event and of the last that was ever given; 0 and 0 in a new store. */
export function eventRange(db: Database): { readonly first: number; readonly last: number } {
  const sql =
    "SELECT coalesce((SELECT min(seq) FROM events), 0) AS first, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) AS last"
  return db.get<{ first: number; last: number }>(sql) ?? { first: 0, last: 0 }
}

/** The number of the last event before `time`; events from then on come after it. */
export function lastEventBefore(db: Database, time: number): number {
  // by number, not by time: a clock that was set back must not hide events
  const first = db.get<{ seq: number }>('SELECT min(seq) AS seq FROM events WHERE time >= ?', time)?.seq
  return first === undefined || first === null ? eventRange(db).last : first - 1
}
