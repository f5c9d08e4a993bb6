import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { PodlibError } from '../../errors/errors.ts'
import { runtimeFailure } from '../../errors/runtime-failure.ts'
import { hastenCgroups } from '../cgroup-haste.ts'
import { leaveChild } from '../child.ts'
import type { JobContext } from '../job.ts'
import { killTree, readProcess } from '../proc.ts'
import { type RuntimeCommand, runtimeArgv } from '../runtime-command.ts'
import { callRuntimeQuietly, runtimeProgram } from '../start-runtime.ts'
import { anonymousFile, pipe } from '../sys/posix-spawn.ts'

export interface ConmonCreateInput {
  /** Absolute path of conmon. */
  readonly conmon: string
  /** Arguments of conmon but for those that name the runtime. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly runtime: RuntimeCommand
  readonly id: string
  /** Files to write first, by absolute path: `config.json`, or the process to execute. */
  readonly files: Readonly<Record<string, string>>
  readonly bundle: string
  /** Directories of cgroups that conmon is moved to before it starts anything; they exist. */
  readonly cgroups?: readonly string[] | undefined
  readonly timeoutMs: number
  /** `create`: a container, which is deleted again on failure. `exec`: a process in it. */
  readonly mode: 'create' | 'exec'
}

/** A process for good: its number may be used again, number and start time together are not. */
export interface ConmonCreateOutput {
  readonly pid: number
  readonly pidStartTime: number
  readonly monitorPid: number
  readonly monitorStartTime: number
}

/**
 * Starts conmon and waits for its word that the runtime has created the container (or has started the
 * process). conmon is told to fork once only (`--sync`), so the process started here is the monitor
 * itself; it leads a session of its own and outlives worker and application.
 */
export async function conmonCreate(input: ConmonCreateInput, { signal }: JobContext): Promise<ConmonCreateOutput> {
  hastenCgroups()
  for (const [path, text] of Object.entries(input.files)) writeFileSync(path, text, { mode: 0o600 })
  const errors = anonymousFile('conmon-stderr')
  let monitorPid: number | undefined
  try {
    const started = startConmon(input, errors)
    monitorPid = started.pid
    const reply = await readReply(started.reply, { timeoutMs: input.timeoutMs, signal })
    const pid = successfulPid(input, reply, errors)
    // Read before the caller's next step can end it: a start time that comes later might be a successor's.
    return { pid, pidStartTime: startTime(pid), monitorPid, monitorStartTime: startTime(monitorPid) }
  } catch (error) {
    if (monitorPid !== undefined) killTree(monitorPid)
    if (input.mode === 'create') await callRuntimeQuietly(input.runtime, ['delete', '--force', input.id])
    if (signal.aborted) throw signal.reason
    throw error
  } finally {
    closeSync(errors)
  }
}

/** Zero for a process that is gone already: none has started at boot. */
function startTime(pid: number): number {
  return readProcess(pid)?.startTime ?? 0
}

/** Starts conmon with its two pipes; it waits on one of them until it is in its cgroups. */
function startConmon(
  { conmon, args, env, runtime, bundle, cgroups = [] }: ConmonCreateInput,
  errors: number,
): { pid: number; reply: number } {
  const runtimeArgs = [
    '--runtime',
    runtimeProgram(runtime),
    ...['--log-format=json', ...runtime.globalArgs].map((argument) => `--runtime-arg=${argument}`),
  ]
  const [reply, start] = [pipe(), pipe()]
  const nothing = openSync('/dev/null', 'r+')
  let kept: number | undefined = reply.read
  try {
    const pid = leaveChild({
      file: conmon,
      argv: [conmon, ...args, ...runtimeArgs],
      env: { ...runtime.env, ...env, _OCI_SYNCPIPE: String(reply.write), _OCI_STARTPIPE: String(start.read) },
      cwd: bundle,
      stdio: [nothing, nothing, errors],
      inherit: [reply.write, start.read],
    })
    kept = undefined
    for (const cgroup of cgroups) writeFileSync(join(cgroup, 'cgroup.procs'), String(pid))
    writeSync(start.write, '\0')
    return { pid, reply: reply.read }
  } finally {
    for (const fd of [reply.write, start.read, start.write, nothing, kept]) if (fd !== undefined) closeSync(fd)
  }
}

/** The first line of the pipe, or what there was when it ended. */
function readReply(fd: number, { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }): Promise<string> {
  const socket = new Socket({ fd, readable: true, writable: false })
  return new Promise<string>((resolve, reject) => {
    let text = ''
    const abort = () => reject(signal.reason)
    const timer = setTimeout(
      () => reject(new PodlibError('ERR_TIMEOUT', `conmon did not report within ${timeoutMs} ms and was killed`)),
      timeoutMs,
    )
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      resolve(text)
    }
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    socket.setEncoding('utf8')
    socket.on('data', (data: string) => {
      text += data
      if (text.includes('\n')) settle()
    })
    socket.once('error', reject)
    socket.once('close', settle)
  }).finally(() => socket.destroy())
}

/** @throws what the runtime said, or that conmon ended without a word. */
function successfulPid({ id, mode, conmon, args, runtime }: ConmonCreateInput, reply: string, errors: number): number {
  const attempt = mode === 'create' ? `create the container ${id}` : `run a process in the container ${id}`
  const { data, message } = parseReply(reply)
  if (data !== undefined && data > 0) return data
  const stderr = readFileSync(`/proc/self/fd/${errors}`, 'utf8').slice(-4096)
  if (data === undefined) {
    throw new PodlibError('ERR_MONITOR_FAILED', `cannot ${attempt}: conmon ended without a report`, {
      program: { argv: [conmon, ...args], exitCode: null, signal: null, stderr },
    })
  }
  const program = { argv: runtimeArgv(runtime, [mode]), exitCode: null, signal: null, stderr: message }
  throw runtimeFailure({ attempt, log: message, program })
}

function parseReply(reply: string): { data: number | undefined; message: string } {
  try {
    const { data, message } = JSON.parse(reply) as { data?: unknown; message?: unknown }
    return { data: typeof data === 'number' ? data : undefined, message: typeof message === 'string' ? message : '' }
  } catch {
    return { data: undefined, message: '' }
  }
}
