import type { SqlValue } from './connection.ts'
import type { ContainerStatus } from './transition.ts'

/** All conditions must hold. */
export interface ContainerFilter {
  readonly status?: readonly ContainerStatus[]
  readonly podId?: string
  /** Of whichever store. */
  readonly imageId?: string
  readonly ephemeral?: boolean
  /** `true` is any value. */
  readonly labels?: Readonly<Record<string, string | true>>
  /** Patterns with `*` and `?`, of which one must fit. */
  readonly names?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly createdBefore?: number
}

/** The filter as a WHERE clause, empty when everything fits. */
export function conditions({ status, podId, imageId, ephemeral, labels = {}, names, createdBefore }: ContainerFilter): {
  sql: string
  values: SqlValue[]
} {
  const terms: { sql: string; values: SqlValue[] }[] = []
  if (status) terms.push({ sql: `status IN (${status.map(() => '?').join(', ')})`, values: [...status] })
  if (podId !== undefined) terms.push({ sql: 'pod_id = ?', values: [podId] })
  if (imageId !== undefined) terms.push({ sql: '(image_id = ? OR foreign_image_id = ?)', values: [imageId, imageId] })
  if (ephemeral !== undefined) terms.push({ sql: 'ephemeral = ?', values: [ephemeral ? 1 : 0] })
  // json_each, not a JSON path: a label may contain any character
  for (const [key, value] of Object.entries(labels)) {
    const [sql, values] = value === true ? ['key = ?', [key]] : ['key = ? AND value = ?', [key, value]]
    terms.push({ sql: `EXISTS (SELECT 1 FROM json_each(labels) WHERE ${sql})`, values })
  }
  // GLOB knows sets of characters too, which are none here
  if (names)
    terms.push({
      sql: `(${names.map(() => 'name GLOB ?').join(' OR ') || 'FALSE'})`,
      values: names.map((glob) => glob.replaceAll('[', '[[]')),
    })
  if (createdBefore !== undefined) terms.push({ sql: 'created_at < ?', values: [createdBefore] })
  const sql = terms.map((term) => term.sql).join(' AND ')
  return { sql: sql && `WHERE ${sql}`, values: terms.flatMap((term) => term.values) }
}
