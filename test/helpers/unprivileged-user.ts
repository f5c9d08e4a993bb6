import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fromWireError } from '../../src/errors/errors.ts'
import { readProcess } from '../../src/host/proc.ts'
import type { SessionActions, SessionReply } from './user-session-child.ts'

/**
 * A user without privilege. It is in no file of this machine: its programs run in a mount namespace where /etc has one user
 * more and this repository is readable, so that nothing can be left behind.
 */
export interface UnprivilegedUser {
  readonly name: string
  readonly uid: number
  /** The first of its 65536 subordinate ids. */
  readonly firstSubordinate: number
  /** Directories of its own, mode 0700. */
  readonly home: string
  readonly runtimeDirectory: string
  /** The environment of a log-in. */
  readonly env: Readonly<Record<string, string>>
  /** Starts a program of Node that answers calls. */
  session(options?: LoginOptions): UserSession
  /** Starts any program; a path below the repository is given as the user sees it by {@link UnprivilegedUser.seen}. */
  spawn(argv: readonly string[], options?: LoginOptions): ChildProcess
  seen(path: string): string
  readonly node: string
  /** Command lines of everything that runs with an id of the user. */
  processes(): { readonly pid: number; readonly command: string }[]
  /** Ends what still runs and removes its directories. */
  end(): void
}

export interface LoginOptions {
  /** Content of /etc/subuid and /etc/subgid. @defaultValue one range of 65536 */
  readonly subordinateIds?: string
  /** Programs that are not to be found. */
  readonly without?: readonly string[]
  /** Whether the kernel lets it make user namespaces. @defaultValue true */
  readonly userNamespaces?: boolean
  /** Added to the environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** A pipe that the program inherits as this descriptor. */
  readonly inherit?: { readonly fd: number; readonly pipe: 'pipe' }
}

export interface UserSession {
  readonly pid: number
  call<Name extends keyof SessionActions>(
    name: Name,
    ...args: Parameters<SessionActions[Name]>
  ): Promise<Awaited<ReturnType<SessionActions[Name]>>>
  readonly process: ChildProcess
  /** Ends it as a program does that has nothing more to do. */
  end(): Promise<void>
  /** Kills it and waits until it is gone. */
  kill(): Promise<void>
}

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const SUBORDINATE_COUNT = 65536
/** Ids that no machine gives to its users. Each user of a test has its own, so that tests do not see one another's processes. */
const FIRST_UID = 1_000_000
const FIRST_SUBORDINATE = 2_000_000_000
const SLOTS = 20_000

/** `$1` base, `$2` the user's /etc, `$3` uid, `$4` programs to hide, `$5` what to put in front of the command. */
const LOGIN = `set -e
base=$1 etc=$2 uid=$3 hidden=$4 confined=$5
shift 5
mount -t overlay -o "lowerdir=$etc:/etc" overlay /etc
mount --bind "$PODLIB_TEST_REPOSITORY" "$base/repository"
mount --bind "$PODLIB_TEST_NODE" "$base/node"
for program in $hidden; do
  for path in /usr/bin/$program /usr/sbin/$program /bin/$program /usr/local/bin/$program; do
    if [ -e "$path" ]; then mount --bind "$base/nothing" "$path"; fi
  done
done
if [ -n "$confined" ]; then mount --rbind / "$base/root"; fi
unset PODLIB_TEST_REPOSITORY PODLIB_TEST_NODE
exec $confined setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
`

/** Makes a user for one test file. Only root can. */
export function unprivilegedUser(): UnprivilegedUser {
  const base = mkdtempSync('/tmp/podlib-user-')
  chmodSync(base, 0o711)
  const slot = Math.floor(Math.random() * SLOTS)
  const uid = FIRST_UID + slot
  const name = `podlib-${slot}`
  const firstSubordinate = FIRST_SUBORDINATE + slot * SUBORDINATE_COUNT
  const own = (directory: string) => {
    const path = join(base, directory)
    mkdirSync(path, { mode: 0o700 })
    chownSync(path, uid, uid)
    return path
  }
  const [home, runtimeDirectory, compiled] = [own('home'), own('run'), own('compiled')]
  for (const directory of ['repository', 'root']) mkdirSync(join(base, directory))
  for (const file of ['node', 'nothing']) writeFileSync(join(base, file), '', { mode: 0o644 })
  const path = '/usr/local/bin:/usr/bin:/bin'
  const env = { HOME: home, USER: name, XDG_RUNTIME_DIR: runtimeDirectory, PATH: path, NODE_COMPILE_CACHE: compiled, ...testMarks() }
  const account = { base, name, uid, ranges: `${name}:${firstSubordinate}:${SUBORDINATE_COUNT}\n` }
  const isOwn = (id: number) => id === uid || (id >= firstSubordinate && id < firstSubordinate + SUBORDINATE_COUNT)
  const node = join(base, 'node')
  const seen = (path: string) => join(base, 'repository', path)
  const spawnAs = (argv: readonly string[], options: LoginOptions = {}, ipc = false) =>
    logIn(account, argv, { ...options, env: { ...env, ...options.env } }, ipc)
  return {
    name,
    uid,
    firstSubordinate,
    home,
    runtimeDirectory,
    env,
    node,
    seen,
    spawn: (argv, options) => spawnAs(argv, options),
    session: (options) => connect(spawnAs([node, '--no-warnings', seen('test/helpers/user-session-child.ts')], options, true)),
    processes: () => processesOf(isOwn),
    end() {
      for (const { pid } of processesOf(isOwn)) killNow(pid)
      for (const path of [base, `/tmp/podlib-run-${uid}`]) rmSync(path, { recursive: true, force: true })
    },
  }
}

interface Account {
  readonly base: string
  readonly name: string
  readonly uid: number
  readonly ranges: string
}

function logIn({ base, name, uid, ranges }: Account, argv: readonly string[], options: LoginOptions, ipc: boolean): ChildProcess {
  const { subordinateIds = ranges, without = [], userNamespaces = true, env = {}, inherit } = options
  const etc = mkdtempSync(join(base, 'etc-'))
  chmodSync(etc, 0o755)
  writeFileSync(join(etc, 'passwd'), `${readFileSync('/etc/passwd', 'utf8')}${name}:x:${uid}:${uid}::${base}/home:/bin/sh\n`)
  writeFileSync(join(etc, 'group'), `${readFileSync('/etc/group', 'utf8')}${name}:x:${uid}:\n`)
  for (const file of ['subuid', 'subgid']) writeFileSync(join(etc, file), subordinateIds)
  // The kernel makes no user namespace for a process whose root directory is not that of its mount namespace.
  const confined = userNamespaces ? '' : `unshare --root ${base}/root`
  const login = ['sh', '-c', LOGIN, 'sh', base, etc, String(uid), without.join(' '), confined]
  const stdio = ['ignore', 'pipe', 'pipe', ...(ipc ? ['ipc'] : [])]
  if (inherit) stdio.push(...Array.from({ length: inherit.fd - stdio.length }, () => 'ignore'), inherit.pipe)
  const own = { PODLIB_TEST_REPOSITORY: REPOSITORY, PODLIB_TEST_NODE: process.execPath }
  return spawn('unshare', ['--mount', '--propagation', 'private', ...login, ...argv], {
    stdio: stdio as never,
    serialization: 'advanced',
    env: { ...definedOnly(env), ...own },
    cwd: '/',
  })
}

function connect(child: ChildProcess): UserSession {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>()
  let stderr = ''
  let next = 1
  child.stdout?.resume()
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.on('message', ({ id, value, error }: SessionReply) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error) call?.reject(fromWireError(error))
    else call?.resolve(value)
  })
  const gone = once(child, 'exit').then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`the session ended: ${stderr}`))
  })
  return {
    pid: child.pid as number,
    process: child,
    call: (action, ...args) =>
      new Promise((resolve, reject) => {
        if (!child.connected) return reject(new Error(`the session has ended: ${stderr}`))
        const id = next++
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
        child.send({ id, action, args })
      }),
    async end() {
      if (child.connected) child.disconnect()
      await gone
    },
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
  }
}

function processesOf(isOwn: (uid: number) => boolean): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry)
    if (!Number.isInteger(pid)) return []
    try {
      const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      const state = readProcess(pid)?.state
      if (!isOwn(Number(uid)) || state === undefined || state === 'Z' || state === 'X') return []
      return [{ pid, command: readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim() }]
    } catch {
      // It ended while it was looked at.
      return []
    }
  })
}

/** By which the runner of the tests knows the processes of its own. */
function testMarks(): Record<string, string> {
  return definedOnly(Object.fromEntries(Object.entries(process.env).filter(([key]) => key.startsWith('PODLIB_TEST_'))))
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}
