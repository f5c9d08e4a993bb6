import { PodlibError } from '../errors/errors.ts'
import { listDependants } from './container-dependency-table.ts'
import { type ContainerFilter, conditions } from './container-filter.ts'
import { type ContainerPatch, type ContainerRow, type NewContainerRow, containerTable as table } from './container-row.ts'
import type { Database } from './database.ts'
import { assertNameFree, resolveId } from './name-table.ts'
import { isReferenceViolation } from './sqlite-error.ts'
import type { Transition } from './transition.ts'

/**
 * Adds a container in status `configured`, with the config that `inspect` and `init` read.
 *
 * @throws ERR_CONTAINER_EXISTS when a container or pod has the name; ERR_IMAGE_NOT_FOUND, ERR_POD_NOT_FOUND.
 */
export function insertContainer(db: Database, row: NewContainerRow, config: unknown): ContainerRow {
  assertNameFree(db, row.name, 'ERR_CONTAINER_EXISTS')
  const full: ContainerRow = { ...row, status: 'configured', generation: 1 }
  try {
    table.insert(db, full)
  } catch (error) {
    throw isReferenceViolation(error) ? missingReference(db, full, error) : error
  }
  db.run('INSERT INTO container_configs (container_id, config) VALUES (?, ?)', row.id, JSON.stringify(config))
  return full
}

export function getContainer(db: Database, id: string): ContainerRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM containers WHERE id = ?`, id)
  return record === undefined ? undefined : table.decode(record)
}

/** The config as it was given to {@link insertContainer}; undefined when there is no such container. */
export function getContainerConfig(db: Database, id: string): unknown {
  const record = db.get<{ config: string }>('SELECT config FROM container_configs WHERE container_id = ?', id)
  return record === undefined ? undefined : JSON.parse(record.config)
}

/**
 * The container with this id, name or beginning of an id.
 *
 * @throws ERR_CONTAINER_NOT_FOUND; ERR_CONTAINER_AMBIGUOUS with the candidates.
 */
export function findContainer(db: Database, nameOrId: string): ContainerRow {
  const found = db.read(() => {
    const resolution = resolveId(db, 'container', nameOrId)
    return resolution.id === undefined ? resolution : getContainer(db, resolution.id)
  })
  if (found !== undefined && 'status' in found) return found
  const candidates = found?.candidates ?? []
  if (candidates.length === 0) throw containerNotFound(nameOrId)
  const text = `${nameOrId} is the beginning of several container ids: ${candidates.map((id) => id.slice(0, 12)).join(', ')}; give more digits`
  throw new PodlibError('ERR_CONTAINER_AMBIGUOUS', text, { details: { given: nameOrId, candidates } })
}

/** Whole rows, for recovery and the life cycle; oldest first. */
export function loadContainers(db: Database, filter: ContainerFilter = {}): ContainerRow[] {
  const { sql, values } = conditions(filter)
  return db.all(`SELECT ${table.all} FROM containers ${sql} ORDER BY rowid`, ...values).map(table.decode)
}

/** Whole rows of those that may hold something on the host, or belong to a process that may be gone: few, also of many. */
export function loadUnsettledContainers(db: Database): ContainerRow[] {
  const settled = "status IN ('configured', 'exited') AND init_step IS NULL AND ephemeral = 0"
  return db.all(`SELECT ${table.all} FROM containers WHERE NOT (${settled}) ORDER BY rowid`).map(table.decode)
}

/**
 * Changes anything but the status and returns the row as it is now.
 *
 * @throws ERR_CONTAINER_NOT_FOUND; ERR_CONTAINER_EXISTS when a new name is taken.
 */
export function updateContainer(db: Database, id: string, patch: ContainerPatch): ContainerRow {
  if (patch.name !== undefined && getContainer(db, id)?.name !== patch.name) assertNameFree(db, patch.name, 'ERR_CONTAINER_EXISTS')
  if ('status' in patch) throw new PodlibError('ERR_INTERNAL', `status of container ${id} was about to be written without a transition`)
  return writeContainer(db, id, patch)
}

function writeContainer(db: Database, id: string, columns: Partial<ContainerRow>): ContainerRow {
  const { sql, values } = table.assignments(columns)
  const set = sql === '' ? '' : `${sql}, `
  const record = db.get(`UPDATE containers SET ${set}generation = generation + 1 WHERE id = ? RETURNING ${table.all}`, ...values, id)
  if (record === undefined) throw containerNotFound(id)
  return table.decode(record)
}

export function updateContainerConfig(db: Database, id: string, config: unknown): void {
  const { changes } = db.run('UPDATE container_configs SET config = ? WHERE container_id = ?', JSON.stringify(config), id)
  if (changes === 0) throw containerNotFound(id)
  updateContainer(db, id, {})
}

/**
 * The only way to write a status. The row must still be what the transition was decided on.
 *
 * @throws ERR_CONTAINER_NOT_FOUND, ERR_CONTAINER_STATE
 */
export function setContainerState(db: Database, id: string, transition: Transition): ContainerRow {
  const { from, to, generation, changes = {} } = transition
  const before = getContainer(db, id)
  if (before === undefined) throw containerNotFound(id)
  if (before.status !== from || (generation !== undefined && before.generation !== generation)) {
    const text = `container ${id} cannot become ${to}: it was ${from} and has become ${before.status} meanwhile`
    throw new PodlibError('ERR_CONTAINER_STATE', text, { details: { id, from, to, status: before.status } })
  }
  return writeContainer(db, id, { ...changes, status: to })
}

/**
 * Forgets a container with its config, exec sessions, volume uses and addresses.
 *
 * @throws ERR_CONTAINER_NOT_FOUND; ERR_CONTAINER_IN_USE when other containers depend on it.
 */
export function deleteContainer(db: Database, id: string): void {
  try {
    if (db.run('DELETE FROM containers WHERE id = ?', id).changes === 0) throw containerNotFound(id)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const dependants = listDependants(db, id)
    const text = `container ${id} is needed by container ${dependants.map((other) => other.slice(0, 12)).join(', ')}: remove that first`
    throw new PodlibError('ERR_CONTAINER_IN_USE', text, { details: { id, dependants }, cause: error })
  }
}

function missingReference(db: Database, row: ContainerRow, cause: unknown): PodlibError {
  const imageMissing = row.imageId !== null && db.get('SELECT 1 FROM images WHERE id = ?', row.imageId) === undefined
  const what = imageMissing ? `image ${row.imageId}` : `pod ${row.podId}`
  return new PodlibError(
    imageMissing ? 'ERR_IMAGE_NOT_FOUND' : 'ERR_POD_NOT_FOUND',
    `cannot create container ${row.name}: ${what} is gone`,
    { cause },
  )
}

function containerNotFound(given: string): PodlibError {
  return new PodlibError('ERR_CONTAINER_NOT_FOUND', `no container has the id or name ${given}`, { details: { given } })
}
