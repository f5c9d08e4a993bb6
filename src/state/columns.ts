import { PodlibError } from '../errors/errors.ts'
import type { SqlValue } from './connection.ts'
import type { Database } from './database.ts'

type Codec<Value> = [Value] extends [boolean] ? 'boolean' : [Value] extends [string | number | null | Uint8Array] ? 'plain' : 'json'

/** How each property of a row is kept: as it is, as 0 or 1, or as JSON text. */
export type Columns<Row> = { readonly [Key in keyof Row]-?: Codec<Row[Key]> }

/**
 * The mapping between a row interface (camelCase) and its table (snake_case): the one place where flags and JSON are
 * coded, and the reason why a table file is mostly types.
 */
export interface Table<Row> {
  /** All columns under their property names, for a SELECT or RETURNING. */
  readonly all: string
  /** Some columns under their property names. */
  pick(keys: readonly (keyof Row & string)[]): string
  /** Turns a record as SQLite gives it into a row, in place. */
  decode(record: unknown): Row
  /** Adds a row. When its key is there: an error, or `replace` the old row, or `keep` it (then no row has changed). */
  insert(db: Database, row: Row, conflict?: 'replace' | 'keep'): { readonly changes: number; readonly rowid: number }
  /** Changes the given properties of the rows that `where` selects. @returns how many rows. */
  update(db: Database, patch: Partial<Row>, where: { readonly sql: string; readonly values: readonly SqlValue[] }): number
  /** `column = ?` for each property of a patch, and the values, for statements that need more than {@link update}. */
  assignments(patch: Partial<Row>): { readonly sql: string; readonly values: SqlValue[] }
}

function columnName(property: string): string {
  return property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

export function defineTable<Row extends object>(name: string, columns: Columns<Row>): Table<Row> {
  const codecs = new Map(Object.entries(columns) as [string, 'plain' | 'boolean' | 'json'][])
  const coded = [...codecs].filter(([, codec]) => codec !== 'plain')
  const encode = (key: string, value: unknown): SqlValue => {
    const codec = codecs.get(key)
    if (codec === undefined || value === undefined) throw new PodlibError('ERR_INTERNAL', `table ${name} cannot take ${key}`)
    if (codec === 'boolean') return value ? 1 : 0
    return codec === 'json' ? JSON.stringify(value) : (value as SqlValue)
  }
  const decode = (record: unknown): Row => {
    const row = record as Record<string, unknown>
    for (const [key, codec] of coded) {
      const value = row[key]
      if (codec === 'boolean') row[key] = value === 1
      else row[key] = JSON.parse(value as string)
    }
    return row as Row
  }
  const pick = (keys: readonly string[]) => keys.map((key) => `${name}.${columnName(key)} AS ${key}`).join(', ')
  const into = `INTO ${name} (${[...codecs.keys()].map(columnName).join(', ')}) VALUES (${[...codecs].map(() => '?').join(', ')})`
  const insertions = {
    refuse: `INSERT ${into}`,
    replace: `INSERT OR REPLACE ${into}`,
    // not OR IGNORE, which also swallows a violated CHECK or NOT NULL
    keep: `INSERT ${into} ON CONFLICT DO NOTHING`,
  }
  const assignments = (patch: Partial<Row>) => {
    const entries = Object.entries(patch).filter(([, value]) => value !== undefined)
    return { sql: entries.map(([key]) => `${columnName(key)} = ?`).join(', '), values: entries.map(([key, value]) => encode(key, value)) }
  }
  return {
    all: pick([...codecs.keys()]),
    pick,
    decode,
    assignments,
    insert: (db, row, conflict) => {
      const values = row as Readonly<Record<string, unknown>>
      return db.run(insertions[conflict ?? 'refuse'], ...[...codecs.keys()].map((key) => encode(key, values[key])))
    },
    update: (db, patch, where) => {
      const { sql, values } = assignments(patch)
      return sql === '' ? 0 : db.run(`UPDATE ${name} SET ${sql} WHERE ${where.sql}`, ...values, ...where.values).changes
    },
  }
}
