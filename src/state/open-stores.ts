import { statSync } from 'node:fs'
import { errorCode, PodlibError } from '../errors/errors.ts'
import type { Connection } from './connection.ts'

/**
 * The stores that are open in this process, by device and inode. The table hangs on the global object because its point
 * is to be seen by *other copies* of podlib in one `node_modules` tree: two copies of SQLite in one process undo each
 * other's locks (closing any descriptor of a file drops the process's fcntl locks on it, fcntl_locking(2)), and the
 * file would then have two writers. One copy may open a store as often as it likes: the openings share a connection.
 */
const REGISTRY = Symbol.for('podlib/open-stores')

/** This copy of podlib, told from others by identity. */
const COPY = Object.freeze({ copy: import.meta.url })

interface OpenStore {
  readonly copy: object
  readonly path: string
  readonly readonly: boolean
  readonly connection: Connection
  users: number
}

type Registry = Map<string, OpenStore[]>

function registry(): Registry {
  const globals = globalThis as { [REGISTRY]?: Registry }
  globals[REGISTRY] ??= new Map()
  return globals[REGISTRY]
}

function keyOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path)
    return `${dev}:${ino}`
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** A share in a connection. */
export interface SharedConnection {
  readonly connection: Connection
  /** Gives the share back; the last one closes the connection. */
  readonly release: () => void
}

/**
 * The connection to `path` that is open already, or the one that `open` makes. Nothing in here awaits: in one process
 * two openings cannot overlap.
 *
 * @throws ERR_STORE_IN_USE when another copy of podlib has the store open.
 */
export function shareConnection(path: string, readonly: boolean, open: () => Connection): SharedConnection {
  const stores = registry()
  const before = keyOf(path)
  const known = before === undefined ? [] : (stores.get(before) ?? [])
  if (known.some((store) => store.copy !== COPY)) {
    const text = `store ${path} is open in this process through another copy of podlib: install one version only, or open it once and share the Runtime`
    throw new PodlibError('ERR_STORE_IN_USE', text, { details: { path } })
  }
  let store = known.find((candidate) => candidate.readonly === readonly)
  if (store === undefined) {
    const connection = open()
    const key = keyOf(path) ?? path
    store = { copy: COPY, path, readonly, connection, users: 0 }
    stores.set(key, [...(stores.get(key) ?? []), store])
  }
  store.users++
  return { connection: store.connection, release: onceReleased(stores, store) }
}

function onceReleased(stores: Registry, store: OpenStore): () => void {
  let released = false
  return () => {
    if (released) return
    released = true
    if (--store.users > 0) return
    for (const [key, list] of stores) {
      if (!list.includes(store)) continue
      const rest = list.filter((other) => other !== store)
      if (rest.length > 0) stores.set(key, rest)
      else stores.delete(key)
    }
    store.connection.close()
  }
}
