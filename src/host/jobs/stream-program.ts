import { setTimeout as delay } from 'node:timers/promises'
import { type Child, startChild } from '../child.ts'
import { openChildStdio } from '../child-stdio.ts'
import type { JobContext } from '../job.ts'
import { descendants, isSameProcess, killTree, listProcesses } from '../proc.ts'
import type { StdioPaths } from '../stdio.ts'

export interface StreamProgramInput {
  /** The program's absolute path and its arguments. */
  readonly argv: readonly string[]
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioPaths
}

/** Sent once the application may read. */
export interface StreamStarted {
  readonly pid: number
}

export interface StreamProgramOutput {
  readonly exitCode: number | null
  readonly signal: number | null
}

/** Between two looks at processes that were killed. */
const RETRY_MS = 5
const GIVE_UP_MS = 10_000

/**
 * Runs a program of the host with its output going straight to the application. After an abort nothing that it started
 * is left.
 */
export async function streamProgram(
  { argv, env, stdio }: StreamProgramInput,
  { signal, report }: JobContext<StreamStarted>,
): Promise<StreamProgramOutput> {
  const opened = openChildStdio(stdio)
  let child: Child
  try {
    child = startChild({ file: argv[0] as string, argv, env, cwd: '/', stdio: opened.fds, newSession: true })
    report({ pid: child.pid })
  } finally {
    opened.close()
  }
  let aborted = signal.aborted
  let ended: Promise<void> | undefined
  const abort = () => {
    aborted = true
    ended = endTree(child)
  }
  if (aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  try {
    const status = await child.exited
    await ended
    if (aborted) throw signal.reason
    return status
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** The head of a family dies first: what it made, a namespace of processes for example, takes a moment longer. */
async function endTree(child: Child): Promise<void> {
  const family = descendants([child.pid], listProcesses())
  killTree(child.pid)
  const deadline = Date.now() + GIVE_UP_MS
  while (family.some(({ pid, startTime }) => isSameProcess(pid, startTime)) && Date.now() < deadline) await delay(RETRY_MS)
}
