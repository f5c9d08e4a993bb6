import { PodlibError } from '../errors/errors.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { findByPrefix } from './name-table.ts'
import { isReferenceViolation } from './sqlite-error.ts'

export type ExecStatus = 'created' | 'running' | 'exited'

/** A command that was started in a running container. */
export interface ExecRow {
  readonly id: string
  readonly containerId: string
  readonly status: ExecStatus
  readonly pid: number | null
  readonly pidStartTime: number | null
  readonly exitCode: number | null
  readonly exitSignal: string | null
  readonly createdAt: number
  readonly finishedAt: number | null
  readonly config: unknown
}

const table = defineTable<ExecRow>('exec_sessions', {
  id: 'plain',
  containerId: 'plain',
  status: 'plain',
  pid: 'plain',
  pidStartTime: 'plain',
  exitCode: 'plain',
  exitSignal: 'plain',
  createdAt: 'plain',
  finishedAt: 'plain',
  config: 'json',
})

/** @throws ERR_CONTAINER_NOT_FOUND */
export function insertExec(db: Database, row: ExecRow): void {
  try {
    table.insert(db, row)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const text = `cannot start a command in container ${row.containerId}: it was removed`
    throw new PodlibError('ERR_CONTAINER_NOT_FOUND', text, { details: { given: row.containerId }, cause: error })
  }
}

export function getExec(db: Database, id: string): ExecRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM exec_sessions WHERE id = ?`, id)
  return record === undefined ? undefined : table.decode(record)
}

/** The session with this id or unique beginning of an id. @throws ERR_EXEC_NOT_FOUND */
export function findExec(db: Database, idPrefix: string): ExecRow {
  const candidates = findByPrefix(db, 'exec_sessions', idPrefix)
  const found = candidates.length === 1 ? getExec(db, candidates[0] as string) : undefined
  if (found !== undefined) return found
  const text =
    candidates.length === 0
      ? `no exec session has the id ${idPrefix}`
      : `${idPrefix} is the beginning of several exec session ids: give more digits`
  throw new PodlibError('ERR_EXEC_NOT_FOUND', text, { details: { given: idPrefix, candidates } })
}

export function listExecs(db: Database, containerId: string): ExecRow[] {
  return db.all(`SELECT ${table.all} FROM exec_sessions WHERE container_id = ? ORDER BY rowid`, containerId).map(table.decode)
}

/** @throws ERR_EXEC_NOT_FOUND */
export function updateExec(db: Database, id: string, patch: Partial<Omit<ExecRow, 'id' | 'containerId' | 'createdAt'>>): void {
  if (table.update(db, patch, { sql: 'id = ?', values: [id] }) > 0) return
  throw new PodlibError('ERR_EXEC_NOT_FOUND', `no exec session has the id ${id}`, { details: { given: id } })
}

export function deleteExec(db: Database, id: string): void {
  db.run('DELETE FROM exec_sessions WHERE id = ?', id)
}
