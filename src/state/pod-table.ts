import { PodlibError } from '../errors/errors.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { assertNameFree, resolveId } from './name-table.ts'
import { isReferenceViolation } from './sqlite-error.ts'

/** A pod. It has no status of its own: what it does is what its containers do. */
export interface PodRow {
  readonly id: string
  readonly name: string
  readonly createdAt: number
  readonly infraId: string | null
  /** Its removal has begun and must be finished. */
  readonly removing: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly ephemeral: boolean
  readonly ownerPid: number | null
  readonly ownerStartTime: number | null
  /** Grows with every change. */
  readonly generation: number
  readonly config: unknown
}

const table = defineTable<PodRow>('pods', {
  id: 'plain',
  name: 'plain',
  createdAt: 'plain',
  infraId: 'plain',
  removing: 'boolean',
  labels: 'json',
  ephemeral: 'boolean',
  ownerPid: 'plain',
  ownerStartTime: 'plain',
  generation: 'plain',
  config: 'json',
})

/** @throws ERR_POD_EXISTS when a container or pod has the name. */
export function insertPod(db: Database, row: Omit<PodRow, 'generation' | 'removing'>): PodRow {
  assertNameFree(db, row.name, 'ERR_POD_EXISTS')
  const full: PodRow = { ...row, removing: false, generation: 1 }
  table.insert(db, full)
  return full
}

function getPod(db: Database, id: string): PodRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM pods WHERE id = ?`, id)
  return record === undefined ? undefined : table.decode(record)
}

/** The pod with this id, name or beginning of an id. @throws ERR_POD_NOT_FOUND; ERR_POD_AMBIGUOUS with the candidates. */
export function findPod(db: Database, nameOrId: string): PodRow {
  const found = db.read(() => {
    const resolution = resolveId(db, 'pod', nameOrId)
    return resolution.id === undefined ? resolution : getPod(db, resolution.id)
  })
  if (found !== undefined && 'name' in found) return found
  const candidates = found?.candidates ?? []
  if (candidates.length === 0) throw podNotFound(nameOrId)
  const text = `${nameOrId} is the beginning of several pod ids: ${candidates.map((id) => id.slice(0, 12)).join(', ')}; give more digits`
  throw new PodlibError('ERR_POD_AMBIGUOUS', text, { details: { given: nameOrId, candidates } })
}

/** Oldest first. */
export function listPods(db: Database): PodRow[] {
  return db.all(`SELECT ${table.all} FROM pods ORDER BY rowid`).map(table.decode)
}

/** @throws ERR_POD_NOT_FOUND; ERR_POD_EXISTS when a new name is taken. */
export function updatePod(db: Database, id: string, patch: Partial<Omit<PodRow, 'id' | 'createdAt' | 'generation'>>): PodRow {
  const before = getPod(db, id)
  if (before === undefined) throw podNotFound(id)
  if (patch.name !== undefined && patch.name !== before.name) assertNameFree(db, patch.name, 'ERR_POD_EXISTS')
  const generation = before.generation + 1
  table.update(db, { ...patch, generation }, { sql: 'id = ?', values: [id] })
  return { ...before, ...patch, generation }
}

/** @throws ERR_POD_NOT_FOUND; ERR_POD_IN_USE while it has containers. */
export function deletePod(db: Database, id: string): void {
  try {
    if (db.run('DELETE FROM pods WHERE id = ?', id).changes === 0) throw podNotFound(id)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const containers = db.all<{ id: string }>('SELECT id FROM containers WHERE pod_id = ?', id).map((row) => row.id)
    const text = `pod ${id} still has container ${containers.map((other) => other.slice(0, 12)).join(', ')}: remove that first`
    throw new PodlibError('ERR_POD_IN_USE', text, { details: { id, containers }, cause: error })
  }
}

function podNotFound(given: string): PodlibError {
  return new PodlibError('ERR_POD_NOT_FOUND', `no pod has the id or name ${given}`, { details: { given } })
}
