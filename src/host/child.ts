import { posixSpawn, type SpawnCall, type WaitStatus, waitpid } from './sys/posix-spawn.ts'

/** A child process of the worker. */
export interface Child {
  readonly pid: number
  readonly exited: Promise<WaitStatus>
}

/** A child that is waited for keeps the worker alive; so does nothing else once the application is gone. */
const HEARTBEAT_MS = 1_000
/** A monitor that ended stays a zombie for at most so long: nobody waits for it, so it is not looked after at once. */
const LAZY_MS = 1_000

// The kernel tells a process about its children as one: this table is the process's, like its file descriptors.
const awaited = new Map<number, (status: WaitStatus) => void>()
const left = new Set<number>()
let heartbeat: NodeJS.Timeout | undefined
let lazyPlanned = false
let listening = false

/** Starts a program and waits for its end. */
export function startChild(call: SpawnCall): Child {
  const pid = posixSpawn(call)
  const exited = new Promise<WaitStatus>((resolve) => awaited.set(pid, resolve))
  listen()
  heartbeat ??= setInterval(reap, HEARTBEAT_MS)
  return { pid, exited }
}

/** Starts a program that goes its own way: it may outlive the worker, and does not keep it alive. */
export function leaveChild(call: SpawnCall): number {
  const pid = posixSpawn(call)
  left.add(pid)
  listen()
  return pid
}

/** Node's own children are not touched: it asks for each of them by number, and so does this. */
function listen(): void {
  if (listening) return
  listening = true
  process.on('SIGCHLD', reap)
}

function reap(): void {
  for (const [pid, resolve] of awaited) {
    const status = waitpid(pid)
    if (status === undefined) continue
    awaited.delete(pid)
    resolve(status)
  }
  if (awaited.size === 0) {
    clearInterval(heartbeat)
    heartbeat = undefined
  }
  if (left.size === 0 || lazyPlanned) return
  lazyPlanned = true
  setTimeout(reapLeft, LAZY_MS).unref()
}

function reapLeft(): void {
  lazyPlanned = false
  for (const pid of left) {
    if (waitpid(pid) !== undefined) left.delete(pid)
  }
}
