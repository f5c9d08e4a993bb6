import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { PodlibError } from '../../errors/errors.ts'
import { type Child, startChild } from '../child.ts'
import type { JobContext } from '../job.ts'
import { sealedProgram } from '../sealed-program.ts'
import { anonymousFile } from '../sys/posix-spawn.ts'

export interface RunProgramInput {
  /** The program's absolute path and its arguments. */
  readonly argv: readonly string[]
  /** The whole environment; nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>
  /** What the program finds on standard input; nothing when absent. */
  readonly stdin?: string
  readonly timeoutMs?: number
  /** Runs a sealed copy, see `sealedProgram`. For crun and runc. */
  readonly sealed?: boolean
}

export interface RunProgramOutput {
  readonly exitCode: number | null
  readonly signal: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Of each output stream the last so many bytes are given. */
const MAX_OUTPUT = 2 ** 20

/**
 * Runs a program of the host to its end. Its output goes to memory files, not pipes: nothing of it passes
 * the event loop, and a grandchild that keeps standard error open holds nobody up.
 */
export async function runProgram(input: RunProgramInput, { signal }: JobContext): Promise<RunProgramOutput> {
  const files: number[] = []
  const file = (name: string): number => {
    const fd = anonymousFile(name)
    files.push(fd)
    return fd
  }
  try {
    const [stdout, stderr] = [file('stdout'), file('stderr')]
    const stdin = input.stdin === undefined ? openNothing(files) : withText(file('stdin'), input.stdin)
    const [path, ...args] = input.argv as [string, ...string[]]
    const program = input.sealed ? sealedProgram(path) : path
    const child = startChild({ file: program, argv: [path, ...args], env: input.env ?? {}, cwd: '/', stdio: [stdin, stdout, stderr] })
    const status = await waitFor(child, { signal, timeoutMs: input.timeoutMs, argv: input.argv })
    return { ...status, stdout: readTail(stdout), stderr: readTail(stderr) }
  } finally {
    for (const fd of files) closeSync(fd)
  }
}

interface Limits {
  readonly signal: AbortSignal
  readonly timeoutMs: number | undefined
  readonly argv: readonly string[]
}

async function waitFor(child: Child, { signal, timeoutMs, argv }: Limits) {
  const kill = () => process.kill(child.pid, 'SIGKILL')
  let timedOut = false
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true
          kill()
        }, timeoutMs)
  if (signal.aborted) kill()
  else signal.addEventListener('abort', kill, { once: true })
  try {
    const status = await child.exited
    if (signal.aborted) throw signal.reason
    if (timedOut)
      throw new PodlibError('ERR_TIMEOUT', `${argv[0]} did not end within ${timeoutMs} ms and was killed`, { details: { argv } })
    return status
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', kill)
  }
}

function openNothing(files: number[]): number {
  const fd = openSync('/dev/null', 'r')
  files.push(fd)
  return fd
}

/** The text is written at its place, which leaves the file's position, shared with the child, at the start. */
function withText(fd: number, text: string): number {
  const bytes = Buffer.from(text)
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written, bytes.length - written, written)
  return fd
}

function readTail(fd: number): string {
  const { size } = fstatSync(fd)
  if (size === 0) return ''
  const bytes = Buffer.alloc(Math.min(size, MAX_OUTPUT))
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, size - bytes.length))
}
