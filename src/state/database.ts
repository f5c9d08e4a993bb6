import { chmodSync, existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type BetterSqlite3 from 'better-sqlite3'
import { PodlibError } from '../errors/errors.ts'
import { backOff, delay } from '../util/delay.ts'
import { Connection, type SqlValue } from './connection.ts'
import { loadSqlite, type SqliteConstructor } from './load-sqlite.ts'
import { isCurrent, migrate } from './migrations.ts'
import { type SharedConnection, shareConnection } from './open-stores.ts'
import { isBusy, openError, storeError } from './sqlite-error.ts'

/** How long a writer tries to get past writers of other processes. Their transactions last microseconds. */
const WRITER_TIMEOUT_MS = 30_000
/** Pages kept in memory, KiB: the summary columns of some 10,000 containers. */
const CACHE_KIB = 8192
/** Checkpoints are made in a thread; should that fail, SQLite itself makes one when the log has grown to so many pages, 64 MiB. */
const LONGEST_LOG_PAGES = 16_384
/** The write-ahead log is cut to this size when it has been checkpointed. */
const LOG_BYTES = 8 * 2 ** 20

export interface TransactionOptions {
  /**
   * The commit is on the disk when the promise resolves, for calls whose return promises that (create, remove, load).
   * Without it a power failure may take the last commits, never their order or consistency; the death of the process
   * takes nothing. Costs one fdatasync, made by a thread; others see the commit before it.
   */
  readonly durable?: boolean
  readonly signal?: AbortSignal | undefined
  /** Default 30 s. */
  readonly timeoutMs?: number
}

/**
 * The state database of a store.
 *
 * Model: any number of readers, one writer; a reader sees one committed state, a writer waits for its turn without
 * blocking the event loop: first in the queue of this process, then against other processes. All calls but
 * `transaction` are synchronous and take microseconds. The `*-table.ts` files are its vocabulary; they may be called
 * anywhere to read and inside a transaction to write.
 *
 * @example
 * ```ts
 * const db = await openDatabase('/var/lib/podlib/podlib.db')
 * await db.transaction(() => insertContainer(db, row, config), { durable: true })
 * ```
 */
export interface Database {
  readonly path: string
  readonly readonly: boolean
  /** Inside the `fn` of a transaction: what is read may still be undone. */
  readonly writing: boolean
  /**
   * Runs `fn` in one write transaction: all of its writes are kept or, when it throws, none. `fn` is synchronous: a
   * promise is refused, because other chains would then run inside the transaction. An abort before `fn` starts leaves
   * nothing; once `fn` runs it cannot be aborted.
   *
   * @throws ERR_LOCK_TIMEOUT when other processes kept writing for `timeoutMs`; ERR_NO_SPACE; ERR_RUNTIME_CLOSED.
   */
  transaction<T>(fn: () => T, options?: TransactionOptions): Promise<T>
  /** Runs several reads on one snapshot. */
  read<T>(fn: () => T): T
  /** The first row, its columns as properties. `Row` is what the statement's columns make. */
  get<Row>(sql: string, ...parameters: SqlValue[]): Row | undefined
  all<Row>(sql: string, ...parameters: SqlValue[]): Row[]
  /** Changes rows, inside a transaction only. @returns how many, and the number of a row that was added. */
  run(sql: string, ...parameters: SqlValue[]): { readonly changes: number; readonly rowid: number }
  /** Calls `listener` after commits of any process, at most 100 ms late, and on close. @returns the function that ends it. */
  onChange(listener: () => void): () => void
  /** Idempotent. Transactions that wait are rejected with ERR_RUNTIME_CLOSED. */
  close(): void
}

/**
 * Opens the state database at `path`, makes it when missing (its directory must exist) and brings its schema up to date.
 *
 * @throws ERR_UNSUPPORTED_NODE, ERR_STORE_UNREADABLE, ERR_STORE_CORRUPT, ERR_STORE_VERSION, ERR_STORE_IN_USE.
 */
export async function openDatabase(path: string, { readonly = false }: { readonly readonly?: boolean } = {}): Promise<Database> {
  const Sqlite = await loadSqlite()
  const deadline = Date.now() + WRITER_TIMEOUT_MS
  for (let attempt = 0; ; attempt++) {
    try {
      const real = join(realpathSync(dirname(path)), basename(path))
      const shared = shareConnection(real, readonly, () => connect(Sqlite, real, readonly))
      return new SqliteDatabase(real, readonly, shared)
    } catch (error) {
      if (!isBusy(error) || Date.now() >= deadline) throw isBusy(error) ? writerTimeout(path, error) : openError(error, path)
    }
    // Another process is making, upgrading or closing the store.
    await delay(backOff(attempt, 2, 50))
  }
}

function connect(Sqlite: SqliteConstructor, path: string, readonly: boolean): Connection {
  const isNew = !existsSync(path)
  // No busy timeout: it would block the event loop. Waiting is done by `transaction`.
  const sqlite = new Sqlite(path, { readonly, fileMustExist: readonly, timeout: 0 })
  try {
    // The log and its index take their mode from the database.
    if (isNew) chmodSync(path, 0o600)
    const current = isCurrent(sqlite, path)
    if (readonly && !current) throw outdated(path)
    configure(sqlite, path, readonly)
    if (!current) migrate(sqlite, path)
    return new Connection(sqlite)
  } catch (error) {
    sqlite.close()
    throw error
  }
}

function configure(sqlite: BetterSqlite3.Database, path: string, readonly: boolean): void {
  if (!readonly && sqlite.pragma('journal_mode = WAL', { simple: true }) !== 'wal') {
    throw new PodlibError(
      'ERR_STORE_UNREADABLE',
      `the file system of ${path} has no shared memory maps, which the state database needs: choose a local root`,
    )
  }
  sqlite.exec('PRAGMA synchronous = NORMAL')
  sqlite.exec('PRAGMA foreign_keys = ON')
  sqlite.exec('PRAGMA trusted_schema = OFF')
  sqlite.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
  sqlite.exec(`PRAGMA wal_autocheckpoint = ${LONGEST_LOG_PAGES}`)
  if (!readonly) sqlite.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`)
}

function outdated(path: string): PodlibError {
  const text = `state database ${path} has an older schema and is opened read-only: open it once for writing`
  return new PodlibError('ERR_STORE_VERSION', text, { details: { path } })
}

function writerTimeout(path: string, cause: unknown): PodlibError {
  const text = `state database ${path} is being written by another process without a pause: find out which with \`fuser ${path}\``
  return new PodlibError('ERR_LOCK_TIMEOUT', text, { details: { path }, cause })
}

class SqliteDatabase implements Database {
  readonly path: string
  readonly readonly: boolean
  readonly #shared: SharedConnection
  readonly #subscriptions = new Set<{ readonly listener: () => void; readonly stop: () => void }>()
  #closed = false

  constructor(path: string, readonly: boolean, shared: SharedConnection) {
    this.path = path
    this.readonly = readonly
    this.#shared = shared
  }

  get writing(): boolean {
    return this.#open().writing
  }

  async transaction<T>(fn: () => T, { durable = false, signal, timeoutMs = WRITER_TIMEOUT_MS }: TransactionOptions = {}): Promise<T> {
    const connection = this.#open()
    if (this.readonly) throw new PodlibError('ERR_INTERNAL', `state database ${this.path} is open read-only`)
    try {
      const result = await this.#inTurn(connection, fn, { signal, deadline: Date.now() + timeoutMs })
      if (durable) await connection.synced()
      return result
    } catch (error) {
      throw storeError(error, this.path)
    }
  }

  async #inTurn<T>(connection: Connection, fn: () => T, limits: { signal: AbortSignal | undefined; deadline: number }): Promise<T> {
    const release = await connection.writers.acquire({ signal: limits.signal })
    try {
      await this.#begin(limits)
      return runAndCommit(connection, fn)
    } finally {
      release()
    }
  }

  async #begin({ signal, deadline }: { signal: AbortSignal | undefined; deadline: number }): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        return this.#open().begin()
      } catch (error) {
        if (!isBusy(error)) throw error
        if (Date.now() >= deadline) throw writerTimeout(this.path, error)
      }
      await delay(backOff(attempt, 0.5, 20), signal)
    }
  }

  read<T>(fn: () => T): T {
    return this.#reading((connection) => connection.read(fn))
  }

  get<Row>(sql: string, ...parameters: SqlValue[]): Row | undefined {
    return this.#reading((connection) => connection.retryRead(() => connection.statementFor(sql).get(...parameters))) as Row | undefined
  }

  all<Row>(sql: string, ...parameters: SqlValue[]): Row[] {
    return this.#reading((connection) => connection.retryRead(() => connection.statementFor(sql).all(...parameters))) as Row[]
  }

  run(sql: string, ...parameters: SqlValue[]): { changes: number; rowid: number } {
    const { changes, lastInsertRowid } = this.#open()
      .statementFor(sql)
      .run(...parameters)
    return { changes, rowid: Number(lastInsertRowid) }
  }

  onChange(listener: () => void): () => void {
    const stop = this.#open().onChange(listener)
    const subscription = { listener, stop }
    this.#subscriptions.add(subscription)
    return () => {
      this.#subscriptions.delete(subscription)
      stop()
    }
  }

  close(): void {
    if (this.#closed) return
    if (this.#shared.connection.writing)
      throw new PodlibError('ERR_INTERNAL', 'the state database cannot be closed from inside a transaction')
    this.#closed = true
    for (const { stop } of this.#subscriptions) stop()
    this.#shared.release()
    // Whoever waits for a change looks again and learns that there will be none.
    for (const { listener } of this.#subscriptions) listener()
    this.#subscriptions.clear()
  }

  #open(): Connection {
    if (!this.#closed) return this.#shared.connection
    throw new PodlibError('ERR_RUNTIME_CLOSED', `state database ${this.path} is closed`, { details: { path: this.path } })
  }

  #reading<T>(fn: (connection: Connection) => T): T {
    const connection = this.#open()
    try {
      return fn(connection)
    } catch (error) {
      // Inside a transaction the tables still want to see which constraint it was; `transaction` translates the rest.
      throw connection.writing ? error : storeError(error, this.path)
    }
  }
}

function runAndCommit<T>(connection: Connection, fn: () => T): T {
  let result: T
  try {
    result = fn()
    refusePromise(result)
  } catch (error) {
    connection.rollback()
    throw error
  }
  connection.commit()
  return result
}

function refusePromise(result: unknown): void {
  const then = (result as { then?: unknown } | null | undefined)?.then
  if (typeof then !== 'function') return
  // Whatever the promise comes to, the work is undone; its failure must not end the program.
  Promise.resolve(result).catch(() => {})
  throw new PodlibError('ERR_INTERNAL', 'a transaction returned a promise: its work must be synchronous')
}
