import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { PodlibError } from '../errors/errors.ts'
import { namespaceOf } from './pause-process.ts'
import { readProcess } from './proc.ts'

/** A running pause process and the word to end it again. */
export interface StartedPause {
  readonly pid: number
  kill(): void
}

/** What a pause process runs in the end, and how long it may take to get there. */
const PAUSE_COMMAND = 'sleep'
const PAUSE_ARGUMENT = 'infinity'
const ENTER_TIMEOUT_MS = 5_000
const POLL_MS = 1

/**
 * Starts `sleep` in another user namespace through a program that leads there (`unshare`, `nsenter`), and waits until it is
 * there. It outlives this process.
 *
 * @throws ERR_ROOTLESS_SETUP with what the program said
 */
export async function startPause(argv: readonly string[], sleepPath: string): Promise<StartedPause> {
  const [program, ...args] = argv as [string, ...string[]]
  const child = spawnDetached(program, [...args, sleepPath, PAUSE_ARGUMENT])
  try {
    const pid = await becomePause(child)
    return { pid, kill: () => void child.kill('SIGKILL') }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    child.stderr?.destroy()
    child.unref()
  }
}

function spawnDetached(program: string, args: readonly string[]): ChildProcess {
  const nothing = openSync('/dev/null', 'r+')
  try {
    const stdio = ['ignore', 'ignore', 'pipe', ...inheritedDescriptors().map((isInherited) => (isInherited ? nothing : 'ignore'))]
    return spawn(program, args, { stdio: stdio as never, detached: true, cwd: '/', env: {} })
  } finally {
    closeSync(nothing)
  }
}

const O_CLOEXEC = 0o2000000

/**
 * For each descriptor from 3 on whether a child would inherit it. Node opens none like that, but this process may have been
 * given some, such as the pipe of a shell's `$(...)`: held by a process that stays, its reader would wait for ever.
 */
function inheritedDescriptors(): boolean[] {
  const inherited: boolean[] = []
  for (const name of readdirSync('/proc/self/fd')) {
    const index = Number(name) - 3
    if (index >= 0 && isInherited(name)) inherited[index] = true
  }
  return Array.from(inherited, (value) => value ?? false)
}

function isInherited(fd: string): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0
  } catch {
    // The descriptor of the directory listing itself.
    return false
  }
}

async function becomePause(child: ChildProcess): Promise<number> {
  let stderr = ''
  let ended: string | undefined
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.once('error', (error) => {
    ended = error.message
  })
  child.once('close', (code, signal) => {
    ended = `it ended with ${signal ?? `exit code ${code}`}`
  })
  const own = namespaceOf('self', 'user')
  const deadline = Date.now() + ENTER_TIMEOUT_MS
  while (Date.now() < deadline && ended === undefined) {
    const { pid } = child
    // The program that leads there has done its mounts once it has become the pause program.
    if (pid !== undefined && (namespaceOf(pid, 'user') ?? own) !== own && readProcess(pid)?.command === PAUSE_COMMAND) return pid
    await sleep(POLL_MS)
  }
  throw new PodlibError('ERR_ROOTLESS_SETUP', `${child.spawnfile} made no user namespace: ${stderr.trim() || ended || 'it took too long'}`)
}
