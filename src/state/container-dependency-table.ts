import type { Database } from './database.ts'

/** Notes that a container needs others (a shared namespace, an explicit requirement). */
export function addDependencies(db: Database, id: string, dependsOn: readonly string[]): void {
  for (const other of dependsOn) db.run('INSERT OR IGNORE INTO container_dependencies (container_id, depends_on) VALUES (?, ?)', id, other)
}

export function listDependencies(db: Database, id: string): string[] {
  return db.all<{ id: string }>('SELECT depends_on AS id FROM container_dependencies WHERE container_id = ?', id).map((row) => row.id)
}

/** Containers that need this one. */
export function listDependants(db: Database, id: string): string[] {
  return db.all<{ id: string }>('SELECT container_id AS id FROM container_dependencies WHERE depends_on = ?', id).map((row) => row.id)
}
