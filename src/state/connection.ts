import type BetterSqlite3 from 'better-sqlite3'
import { PodlibError } from '../errors/errors.ts'
import { FairLock } from '../util/fair-lock.ts'
import { Checkpoints } from './checkpoints.ts'
import { LogSync } from './log-sync.ts'
import { isBusy, isOfDisk } from './sqlite-error.ts'

/** What a column can hold, on the way in and out. */
export type SqlValue = string | number | null | Uint8Array

/** How often another process's commits are looked for while somebody listens. The look costs some 3 us. */
const POLL_MS = 100
/** A reader meets a lock only while another process repairs the log after a crash: milliseconds at most. */
const READ_RETRIES = 200

/**
 * One SQLite connection, shared by every {@link Database} on the same file in this process: one connection a process
 * cannot lock itself out. Knows statements, begin and commit, and who wants to hear of changes.
 */
export class Connection {
  readonly writers = new FairLock()
  readonly #sqlite: BetterSqlite3.Database
  readonly #checkpoints: Checkpoints
  readonly #log: LogSync
  readonly #statements = new Map<string, BetterSqlite3.Statement<SqlValue[]>>()
  readonly #listeners = new Set<() => void>()
  #poll: NodeJS.Timeout | undefined
  #dataVersion = 0
  #writing = false

  constructor(sqlite: BetterSqlite3.Database) {
    this.#sqlite = sqlite
    this.#log = new LogSync(sqlite.name, () => this.#checkpoint())
    this.#checkpoints = new Checkpoints(sqlite.name, (error) => isOfDisk(error) && this.#log.distrust(error))
  }

  /** Inside a write transaction. */
  get writing(): boolean {
    return this.#writing
  }

  /** The statement for `sql`, prepared once. The texts are few: constants, and updates of a given set of columns. */
  statement(sql: string): BetterSqlite3.Statement<SqlValue[]> {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#sqlite.prepare<SqlValue[]>(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  /** {@link statement}, refused when it writes and no write transaction is open: nobody would know when it is kept. */
  statementFor(sql: string): BetterSqlite3.Statement<SqlValue[]> {
    const statement = this.statement(sql)
    if (statement.readonly || this.#writing) return statement
    throw new PodlibError('ERR_INTERNAL', 'a row was about to be changed outside a transaction')
  }

  /** Starts a write transaction at once or throws SQLITE_BUSY. */
  begin(): void {
    this.statement('BEGIN IMMEDIATE').run()
    this.#writing = true
  }

  commit(): void {
    try {
      this.statement('COMMIT').run()
    } finally {
      this.rollback()
    }
    this.#checkpoints.committed()
    for (const listener of this.#listeners) listener()
  }

  /** Undoes the open transaction; after a full disk SQLite may have done so already. */
  rollback(): void {
    this.#writing = false
    if (this.#sqlite.inTransaction) this.statement('ROLLBACK').run()
  }

  /** Resolves when the commits so far, of whomever, are on the disk. */
  synced(): Promise<void> {
    return this.#log.synced()
  }

  /** Brings all commits into the database and onto the disk. The event loop waits for it: only where nothing else helps. */
  #checkpoint(): void {
    try {
      this.#emptyLog()
    } catch {
      // SQLite was told by its own descriptor what is known already: that the disk has refused the log.
      this.#emptyLog()
    }
  }

  #emptyLog(): void {
    const [result] = this.#sqlite.pragma('wal_checkpoint(TRUNCATE)') as [{ busy: number }]
    if (result.busy !== 0) throw new Error('another process is using the state database')
  }

  /** Runs reads on one snapshot. */
  read<T>(fn: () => T): T {
    if (this.#sqlite.inTransaction) return fn()
    return this.retryRead(() => {
      this.statement('BEGIN').run()
      try {
        return fn()
      } finally {
        this.rollback()
      }
    })
  }

  /** Repeats a read that meets a lock; it must block, because reads are synchronous. */
  retryRead<T>(fn: () => T): T {
    for (let attempt = 0; ; attempt++) {
      try {
        return fn()
      } catch (error) {
        if (this.#sqlite.inTransaction || !isBusy(error) || attempt >= READ_RETRIES) throw error
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      }
    }
  }

  /** Calls `listener` after every commit of this process and, within {@link POLL_MS}, of others. @returns how to stop. */
  onChange(listener: () => void): () => void {
    const own = () => listener()
    this.#listeners.add(own)
    if (this.#poll === undefined) this.#startPolling()
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size === 0) this.#stopPolling()
    }
  }

  close(): void {
    this.#stopPolling()
    this.#listeners.clear()
    this.#statements.clear()
    this.#checkpoints.close()
    this.#sqlite.close()
  }

  #startPolling(): void {
    this.#dataVersion = this.#readDataVersion()
    this.#poll = setInterval(() => {
      const version = this.#readDataVersion()
      if (version === this.#dataVersion) return
      this.#dataVersion = version
      for (const listener of this.#listeners) listener()
    }, POLL_MS)
    // Listening is no reason to keep the program running.
    this.#poll.unref()
  }

  #stopPolling(): void {
    clearInterval(this.#poll)
    this.#poll = undefined
  }

  /**
   * Changes when another connection commits; our own commits leave it. A failure counts as a change: the listeners then
   * read and meet the error where somebody can catch it, which nobody can in a timer.
   *
   * @see https://www.sqlite.org/pragma.html#pragma_data_version
   */
  #readDataVersion(): number {
    try {
      return (this.statement('PRAGMA data_version').get() as { data_version: number }).data_version
    } catch (error) {
      return isBusy(error) ? this.#dataVersion : Number.NaN
    }
  }
}
