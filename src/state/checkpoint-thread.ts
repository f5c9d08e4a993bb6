import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import Sqlite from 'better-sqlite3'
import { BEGUN, type CheckpointTask, DONE, STATE, WAITING } from './checkpoints.ts'
import { isBusy } from './sqlite-error.ts'

/*
 * Makes a checkpoint whenever it is told to, until it is told to end: see `checkpoints.ts`.
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
    const [result] = sqlite.pragma('wal_checkpoint(RESTART)') as [{ busy: number }]
    if (result.busy === 0) beginAnew(sqlite)
  } finally {
    sqlite.close()
  }
}

/** Whoever writes first into a log that begins anew waits for the disk to have its beginning. It shall not be the application. */
function beginAnew(sqlite: Sqlite.Database): void {
  try {
    sqlite.pragma('synchronous = NORMAL')
    sqlite.exec("INSERT OR REPLACE INTO meta (key, value) VALUES ('checkpointedAt', unixepoch())")
  } catch (error) {
    // Somebody was faster.
    if (!isBusy(error)) throw error
  }
}

const port = parentPort as MessagePort
port.on('message', (message) => {
  if (message === 'end') return port.close()
  if (Atomics.compareExchange(state, STATE, WAITING, BEGUN) !== WAITING) return
  try {
    checkpoint()
  } finally {
    Atomics.store(state, STATE, DONE)
    Atomics.notify(state, STATE)
  }
})
