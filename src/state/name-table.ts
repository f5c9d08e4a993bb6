import type { PodlibErrorCode } from '../errors/codes.ts'
import { PodlibError } from '../errors/errors.ts'
import type { Database } from './database.ts'

/** Containers and pods share one name space, as in podman; the triggers of the schema keep it. */
export type NameKind = 'container' | 'pod'

export interface NameRow {
  readonly name: string
  readonly kind: NameKind
  readonly id: string
}

/** How many candidates an ambiguous prefix names. */
const CANDIDATES = 10

export function getName(db: Database, name: string): NameRow | undefined {
  return db.get<NameRow>('SELECT name, kind, id FROM names WHERE name = ?', name)
}

/** @throws `code` when a container or a pod has the name. */
export function assertNameFree(db: Database, name: string, code: PodlibErrorCode): void {
  const owner = getName(db, name)
  if (owner === undefined) return
  throw new PodlibError(code, `name ${name} is taken by ${owner.kind} ${owner.id}: choose another or remove that ${owner.kind}`, {
    details: { name, owner: owner.id, ownerKind: owner.kind },
  })
}

/** What a lookup found: one id, none, or several with the ids that start like that. */
export type Resolution = { readonly id: string } | { readonly id: undefined; readonly candidates: readonly string[] }

/**
 * The id that a user means: a full id, else an exact name, else a unique beginning of an id. A name wins over a
 * beginning, so that a new object never changes what a name means.
 */
export function resolveId(db: Database, kind: NameKind, nameOrId: string): Resolution {
  const table = `${kind}s`
  const exact = db.get<{ id: string }>(`SELECT id FROM ${table} WHERE id = ?`, nameOrId)
  if (exact) return exact
  const named = getName(db, nameOrId)
  if (named?.kind === kind) return { id: named.id }
  const candidates = findByPrefix(db, table, nameOrId)
  return candidates.length === 1 ? { id: candidates[0] as string } : { id: undefined, candidates }
}

/** Ids of `table` (a constant of ours) that start with `prefix`, at most {@link CANDIDATES}; a walk of the index, no scan. */
export function findByPrefix(db: Database, table: string, prefix: string): string[] {
  if (!/^[0-9a-f]+$/.test(prefix)) return []
  // 'g' sorts right after the last hexadecimal digit
  const sql = `SELECT id FROM ${table} WHERE id >= ? AND id < ? ORDER BY id LIMIT ${CANDIDATES}`
  return db.all<{ id: string }>(sql, prefix, `${prefix}g`).map(({ id }) => id)
}
