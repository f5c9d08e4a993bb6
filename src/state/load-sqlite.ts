import type BetterSqlite3 from 'better-sqlite3'
import { errorMessage, PodlibError } from '../errors/errors.ts'

/** better-sqlite3 13 is built for this Node-API; an older Node dies of a segmentation fault in `new Database()`. */
const NODE_API = 10

/** What better-sqlite3 exports. */
export type SqliteConstructor = typeof BetterSqlite3

/**
 * Refuses a Node that better-sqlite3 would crash. Must be asked before the module is loaded.
 *
 * @throws ERR_UNSUPPORTED_NODE
 */
export function assertNodeApi(versions: Readonly<Record<string, string | undefined>> = process.versions): void {
  if (Number(versions.napi ?? 0) >= NODE_API) return
  throw new PodlibError(
    'ERR_UNSUPPORTED_NODE',
    `node ${versions.node} lacks node-api ${NODE_API}, which the state database needs: use node 22.19 or newer`,
    {
      details: { node: versions.node, nodeApi: versions.napi },
    },
  )
}

/**
 * Loads better-sqlite3 on first use: reading a registry or a policy needs no database.
 *
 * @throws ERR_UNSUPPORTED_NODE, ERR_UNSUPPORTED_PLATFORM when the module or its binary cannot be loaded.
 */
export async function loadSqlite(): Promise<SqliteConstructor> {
  assertNodeApi()
  try {
    const { default: Sqlite } = await import('better-sqlite3')
    // The binary is loaded by the first database, not by the import; a database in memory touches no file.
    new Sqlite(':memory:').close()
    return Sqlite
  } catch (cause) {
    throw new PodlibError(
      'ERR_UNSUPPORTED_PLATFORM',
      `cannot load better-sqlite3 for ${process.platform}-${process.arch}: ${errorMessage(cause)}; install the package again on this machine`,
      { details: { platform: process.platform, arch: process.arch }, cause },
    )
  }
}
