import { type ContainerFilter, conditions } from './container-filter.ts'
import { type ContainerRow, containerTable } from './container-row.ts'
import type { Database } from './database.ts'

// Each column costs a listing of thousands its share: only what a line of it shows.
const SHOWN = [
  'id',
  'name',
  'imageId',
  'imageStore',
  'foreignImageId',
  'imageName',
  'status',
  'createdAt',
  'startedAt',
  'finishedAt',
  'exitCode',
  'pid',
  'generation',
] as const satisfies readonly (keyof ContainerRow)[]

/** What a listing shows. Text that few readers look into stays JSON: parsing it would double the time of a listing. */
export type ContainerSummaryRow = Pick<ContainerRow, (typeof SHOWN)[number]> & {
  readonly rowid: number
  readonly commandJson: string
  readonly labelsJson: string
}

const SUMMARY = `rowid, ${containerTable.pick(SHOWN)}, command AS commandJson, labels AS labelsJson`
/** A row number is given anew when the newest row goes, so it says which container only together with the time. */
const VERSION = `rowid, ${containerTable.pick(['generation', 'createdAt'])}`

type Version = Pick<ContainerSummaryRow, 'rowid' | 'generation' | 'createdAt'>
type Rows = Map<number, ContainerSummaryRow>

/** What the last listings read. The garbage collector may take it at any time; the next one then reads everything. */
const remembered = new WeakMap<Database, WeakRef<Rows>>()

/**
 * Oldest first. Whoever lists thousands mostly does so again and again: only what has changed since is read whole, of the
 * others just that they have not, which takes a third of the time and leaves no garbage.
 */
export function listContainers(db: Database, filter: ContainerFilter = {}): readonly ContainerSummaryRow[] {
  const { sql, values } = conditions(filter)
  const readAll = () => db.all<ContainerSummaryRow>(`SELECT ${SUMMARY} FROM containers ${sql} ORDER BY rowid`, ...values)
  // What a transaction has changed may be undone, and its generation given to another change.
  if (db.writing) return readAll()
  const known = recall(db)
  if (known.size === 0) return keep(known, readAll())
  return db.read(() => {
    const versions = db.all<Version>(`SELECT ${VERSION} FROM containers ${sql} ORDER BY rowid`, ...values)
    const changed = versions.filter((version) => !isSame(known.get(version.rowid), version)).map(({ rowid }) => rowid)
    if (changed.length * 2 > versions.length) return keep(known, readAll())
    keep(known, readRows(db, changed))
    const rows = versions.map(({ rowid }) => known.get(rowid) as ContainerSummaryRow)
    const areAll = sql === ''
    if (areAll && known.size > rows.length) {
      // Those that are gone need not be remembered.
      known.clear()
      keep(known, rows)
    }
    return rows
  })
}

function recall(db: Database): Rows {
  const known = remembered.get(db)?.deref()
  if (known) return known
  const none: Rows = new Map()
  remembered.set(db, new WeakRef(none))
  return none
}

function keep(known: Rows, rows: ContainerSummaryRow[]): ContainerSummaryRow[] {
  for (const row of rows) known.set(row.rowid, row)
  return rows
}

function isSame(row: ContainerSummaryRow | undefined, { generation, createdAt }: Version): boolean {
  return row?.generation === generation && row.createdAt === createdAt
}

function readRows(db: Database, rowids: readonly number[]): ContainerSummaryRow[] {
  if (rowids.length === 0) return []
  return db.all(`SELECT ${SUMMARY} FROM containers WHERE rowid IN (SELECT value FROM json_each(?))`, JSON.stringify(rowids))
}
