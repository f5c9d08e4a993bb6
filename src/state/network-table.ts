import { PodlibError } from '../errors/errors.ts'
import { defineTable } from './columns.ts'
import type { Database } from './database.ts'
import { isDuplicate, isReferenceViolation } from './sqlite-error.ts'

export interface NetworkRow {
  readonly id: string
  readonly name: string
  readonly driver: string
  readonly createdAt: number
  readonly labels: Readonly<Record<string, string>>
  readonly config: unknown
}

/** An address that a container holds in a network. */
export interface AddressRow {
  readonly networkId: string
  /** In its canonical text form: two spellings of one address would be two rows. */
  readonly address: string
  readonly containerId: string
}

const table = defineTable<NetworkRow>('networks', {
  id: 'plain',
  name: 'plain',
  driver: 'plain',
  createdAt: 'plain',
  labels: 'json',
  config: 'json',
})

const addresses = defineTable<AddressRow>('network_addresses', { networkId: 'plain', address: 'plain', containerId: 'plain' })

/** @throws ERR_NETWORK_EXISTS */
export function insertNetwork(db: Database, row: NetworkRow): void {
  try {
    table.insert(db, row)
  } catch (error) {
    if (!isDuplicate(error)) throw error
    throw new PodlibError('ERR_NETWORK_EXISTS', `network ${row.name} exists already`, { details: { name: row.name }, cause: error })
  }
}

/** The network with this name or full id. */
export function getNetwork(db: Database, nameOrId: string): NetworkRow | undefined {
  const record = db.get(`SELECT ${table.all} FROM networks WHERE name = ? OR id = ? ORDER BY name = ? DESC`, nameOrId, nameOrId, nameOrId)
  return record === undefined ? undefined : table.decode(record)
}

/** Oldest first. */
export function listNetworks(db: Database): NetworkRow[] {
  return db.all(`SELECT ${table.all} FROM networks ORDER BY rowid`).map(table.decode)
}

/** @throws ERR_NETWORK_NOT_FOUND */
export function updateNetwork(db: Database, id: string, patch: Partial<Pick<NetworkRow, 'labels' | 'config'>>): void {
  if (table.update(db, patch, { sql: 'id = ?', values: [id] }) === 0) throw networkNotFound(id)
}

/** @throws ERR_NETWORK_NOT_FOUND; ERR_NETWORK_IN_USE while containers hold addresses in it. */
export function deleteNetwork(db: Database, id: string): void {
  try {
    if (db.run('DELETE FROM networks WHERE id = ?', id).changes === 0) throw networkNotFound(id)
  } catch (error) {
    if (!isReferenceViolation(error)) throw error
    const containers = [...new Set(listAddresses(db, id).map((row) => row.containerId))]
    const text = `network ${id} is used by container ${containers.map((other) => other.slice(0, 12)).join(', ')}: remove that first`
    throw new PodlibError('ERR_NETWORK_IN_USE', text, { details: { id, containers }, cause: error })
  }
}

/** Takes an address for a container. @throws ERR_ADDRESS_IN_USE; ERR_NETWORK_NOT_FOUND */
export function insertAddress(db: Database, row: AddressRow): void {
  try {
    addresses.insert(db, row)
  } catch (error) {
    if (isReferenceViolation(error)) throw networkNotFound(row.networkId)
    if (!isDuplicate(error)) throw error
    throw new PodlibError('ERR_ADDRESS_IN_USE', `address ${row.address} is taken in network ${row.networkId}`, {
      details: { ...row },
      cause: error,
    })
  }
}

export function listAddresses(db: Database, networkId: string): AddressRow[] {
  return db.all<AddressRow>(`SELECT ${addresses.all} FROM network_addresses WHERE network_id = ?`, networkId)
}

/** Gives back what a container holds, in one network or in all. */
export function deleteAddresses(db: Database, containerId: string, networkId?: string): void {
  if (networkId === undefined) db.run('DELETE FROM network_addresses WHERE container_id = ?', containerId)
  else db.run('DELETE FROM network_addresses WHERE container_id = ? AND network_id = ?', containerId, networkId)
}

function networkNotFound(given: string): PodlibError {
  return new PodlibError('ERR_NETWORK_NOT_FOUND', `no network has the id or name ${given}`, { details: { given } })
}
