import type { Database } from './database.ts'

/** Facts about the store as a whole. `bootId` is the boot that the statuses are about: another one means a reboot. */
export type MetaKey = 'createdBy' | 'createdAt' | 'bootId' | 'runRoot' | 'checkpointedAt'

export function getMeta(db: Database, key: MetaKey): string | undefined {
  return db.get<{ value: string }>('SELECT value FROM meta WHERE key = ?', key)?.value
}

export function setMeta(db: Database, key: MetaKey, value: string): void {
  db.run('INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', key, value)
}
