import { setTimeout as delay } from 'node:timers/promises'
import type { Started } from '../attached-runtime.ts'
import { type Child, startChild } from '../child.ts'
import { openChildStdio } from '../child-stdio.ts'
import { type ExitStatus, exitStatus, shellExitCode } from '../exit-status.ts'
import type { JobContext } from '../job.ts'
import { descendants, isSameProcess, killTree, listProcesses, readProcess } from '../proc.ts'
import type { StdioPaths } from '../stdio.ts'

export interface StreamProgramInput {
  /** The program's absolute path and its arguments. */
  readonly argv: readonly string[]
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioPaths
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
  { signal, report }: JobContext<Started>,
): Promise<ExitStatus> {
  const opened = openChildStdio(stdio)
  let child: Child
  try {
    child = startChild({ file: argv[0] as string, argv, env, cwd: '/', stdio: opened.fds, newSession: true })
    report({ pid: child.pid, startTime: readProcess(child.pid)?.startTime ?? 0 })
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
    return exitStatus(shellExitCode(status))
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
