import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { openDatabase } from '../../src/state/database.ts'

/** Where everything of a store is. */
export interface StorePlace {
  /** Holds root and run root. */
  readonly directory: string
  readonly root: string
  readonly runRoot: string
  readonly cgroupParent: string
}

/** What the rows of a store say that there may be on the host. */
interface Accounts {
  /** Containers with a row. */
  readonly known: ReadonlySet<string>
  /** Those that have, or should have, a process. */
  readonly alive: ReadonlySet<string>
  readonly layers: ReadonlySet<string>
}

const ALIVE = new Set(['created', 'running', 'paused', 'stopping'])
const ID = /[0-9a-f]{64}/

/** Everything on the host that belongs to a store and to no row of it, one sentence each. For a store that nobody has open. */
export async function traces(place: StorePlace): Promise<string[]> {
  const accounts = await readAccounts(place)
  const alive = (text: string) => accounts.alive.has(ID.exec(text)?.[0] ?? '')
  const known = (text: string) => accounts.known.has(ID.exec(text)?.[0] ?? '')
  const { root, runRoot } = place
  const unexpected = (what: string, paths: string[], isExpected: (path: string) => boolean) =>
    paths.filter((path) => !isExpected(path)).map((path) => `${what}: ${path}`)
  return [
    ...unexpected('mount', mounts(place), alive),
    ...unexpected('process', processes(place), alive),
    ...unexpected('cgroup', cgroupDirectories(place), (path) => alive(path) || path.endsWith(place.cgroupParent)),
    ...unexpected('bundle', list(runRoot, 'bundles'), alive),
    ...unexpected('exit record', [...list(runRoot, 'exits'), ...list(runRoot, 'persist')], alive),
    ...unexpected('state of an OCI runtime', [...list(runRoot, 'oci', 'crun'), ...list(runRoot, 'oci', 'runc')], alive),
    ...unexpected('mount point', list(runRoot, 'mounts'), known),
    ...unexpected('lock', list(runRoot, 'locks'), (path) => known(path) || !path.includes('/container-')),
    ...unexpected('directory of a container', list(root, 'containers'), known),
    ...unexpected('layer', list(root, 'layers'), (path) => accounts.layers.has(path.slice(-64))),
    ...unexpected('layer in its row only', [...accounts.layers], (hex) => existsSync(join(root, 'layers', hex, 'fs'))),
    ...unexpected('staged layer', list(root, 'staging'), () => false),
    ...unexpected('FIFO', list(runRoot, 'io'), () => false),
    ...unexpected('descriptor', descriptors(place), () => false),
  ]
}

async function readAccounts({ root }: StorePlace): Promise<Accounts> {
  const path = join(root, 'podlib.db')
  if (!existsSync(path)) return { known: new Set(), alive: new Set(), layers: new Set() }
  const db = await openDatabase(path, { readonly: true })
  try {
    const rows = db.all<{ id: string; status: string }>('SELECT id, status FROM containers')
    const layers = db.all<{ hex: string }>('SELECT substr(diff_id, 8) AS hex FROM layers').map(({ hex }) => hex)
    const alive = rows.filter(({ status }) => ALIVE.has(status)).map(({ id }) => id)
    return { known: new Set(rows.map(({ id }) => id)), alive: new Set(alive), layers: new Set(layers) }
  } finally {
    db.close()
  }
}

/** What is in the directories for streams of all processes. */
export function fifos({ runRoot }: Pick<StorePlace, 'runRoot'>): string[] {
  return list(runRoot, 'io').flatMap((session) => list(session))
}

/** Deepest first. */
export function cgroupDirectories({ cgroupParent }: StorePlace): string[] {
  const hierarchies = ['/sys/fs/cgroup', ...list('/sys/fs/cgroup')]
  const parents = hierarchies.map((hierarchy) => join(hierarchy, cgroupParent)).filter((path) => existsSync(path))
  return parents.flatMap((parent) => [...list(parent).filter((path) => existsSync(join(path, 'cgroup.procs'))), parent])
}

function mounts({ directory, root }: StorePlace): string[] {
  const targets = read('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
  // A test may have put the store on a file system of its own.
  return targets.filter((target) => target.startsWith(`${directory}/`) && target !== root)
}

/** Those that name the store or a cgroup of it, and workers of this process that outlived their runtime. */
function processes({ directory, cgroupParent }: StorePlace): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return pids.flatMap((pid) => {
    const argv = read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim()
    const cgroup = read(`/proc/${pid}/cgroup`)
    return argv.includes(directory) || cgroup.includes(`${cgroupParent}/`) ? [`${pid} ${argv} ${ID.exec(cgroup)?.[0] ?? ''}`] : []
  })
}

function descriptors({ directory }: StorePlace): string[] {
  return list('/proc/self/fd').flatMap((path) => {
    try {
      const target = readlinkSync(path)
      return target.startsWith(`${directory}/`) ? [target] : []
    } catch {
      // The descriptor of the listing itself.
      return []
    }
  })
}

function list(...path: string[]): string[] {
  try {
    return readdirSync(join(...path)).map((name) => join(...path, name))
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
