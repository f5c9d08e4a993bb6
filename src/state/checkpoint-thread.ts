import { workerData } from 'node:worker_threads'
import Sqlite from 'better-sqlite3'
import { BEGUN, type CheckpointTask, DONE, STATE, WAITING } from './checkpoints.ts'

/*
 * One checkpoint, in a thread of its own: see `checkpoints.ts`.
 */
/** How long it waits for a writer or reader before it leaves the rest to the next checkpoint. */
const PATIENCE_MS = 100

const { path, shared } = workerData as CheckpointTask
const state = new Int32Array(shared)

function checkpoint(): void {
  const sqlite = new Sqlite(path, { fileMustExist: true, timeout: PATIENCE_MS })
  try {
    // Most of it, while others read and write.
    sqlite.pragma('wal_checkpoint(PASSIVE)')
    // The rest, while writers wait: the log begins anew only when nothing of it is left.
    sqlite.pragma('wal_checkpoint(RESTART)')
  } finally {
    sqlite.close()
  }
}

if (Atomics.compareExchange(state, STATE, WAITING, BEGUN) === WAITING) {
  try {
    checkpoint()
  } finally {
    Atomics.store(state, STATE, DONE)
    Atomics.notify(state, STATE)
  }
}
