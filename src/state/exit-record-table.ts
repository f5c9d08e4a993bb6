import { defineTable } from './columns.ts'
import type { Database } from './database.ts'

/** How a container ended. Outlives the container, so that a `wait` that comes a moment late still gets its answer. */
export interface ExitRecordRow {
  readonly containerId: string
  readonly exitCode: number
  readonly exitSignal: string | null
  readonly oomKilled: boolean
  readonly finishedAt: number
}

const table = defineTable<ExitRecordRow>('exit_records', {
  containerId: 'plain',
  exitCode: 'plain',
  exitSignal: 'plain',
  oomKilled: 'boolean',
  finishedAt: 'plain',
})

/** Keeps how a container ended; an earlier end of the same container is replaced. */
export function putExitRecord(db: Database, row: ExitRecordRow): void {
  table.insert(db, row, 'replace')
}

export function getExitRecord(db: Database, containerId: string): ExitRecordRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM exit_records WHERE container_id = ?`, containerId)
  return record === undefined ? undefined : table.decode(record)
}

/** Drops records that are older than `finishedBefore` and whose container is gone. @returns how many. */
export function pruneExitRecords(db: Database, finishedBefore: number): number {
  const gone = 'NOT EXISTS (SELECT 1 FROM containers WHERE containers.id = container_id)'
  return db.run(`DELETE FROM exit_records WHERE finished_at < ? AND ${gone}`, finishedBefore).changes
}
