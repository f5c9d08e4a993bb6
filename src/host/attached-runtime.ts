import { closeSync, fstatSync, readSync } from 'node:fs'
import { runtimeFailure } from '../errors/runtime-failure.ts'
import { startTimer, type Timer } from '../util/timer.ts'
import type { Child } from './child.ts'
import { openChildStdio } from './child-stdio.ts'
import { type ExitStatus, exitStatus, shellExitCode } from './exit-status.ts'
import type { JobContext } from './job.ts'
import { readProcess } from './proc.ts'
import { type RuntimeCommand, runtimeArgv } from './runtime-command.ts'
import { startRuntime } from './start-runtime.ts'
import type { StdioPaths } from './stdio.ts'
import { anonymousFile } from './sys/posix-spawn.ts'

/** A call of the OCI runtime that lasts as long as the process it starts. */
export interface AttachedCall {
  readonly runtime: RuntimeCommand
  /** The verb and what follows it. */
  readonly args: readonly string[]
  readonly stdio: StdioPaths
  readonly timeoutMs: number | undefined
  /** What is tried, for the error: `run the container abc`. */
  readonly attempt: string
  /** Ends everything that the call started; may be called before the process is there. */
  readonly kill: (child: Child) => Promise<void>
}

/** Sent once the application may read and write. */
export interface Started {
  /** The runtime's process. */
  readonly pid: number
  readonly startTime: number
}

export interface AttachedExit extends ExitStatus {
  readonly timedOut: boolean
}

/** The same, with what the kernel did to it. */
export interface AttachedEnd extends AttachedExit {
  readonly oomKilled: boolean
}

const MAX_LOG = 16_384

/**
 * Runs the runtime as a direct child with its streams on the application's FIFOs. On timeout and abort it
 * settles only when everything that was started is gone.
 */
export async function runAttachedRuntime(call: AttachedCall, { signal, report }: JobContext<Started>): Promise<AttachedExit> {
  // Standard error belongs to the program in the container; what the runtime itself says goes to its log.
  const log = anonymousFile('runtime-log')
  try {
    const stdio = openChildStdio(call.stdio)
    const args = [`--log=/proc/${process.pid}/fd/${log}`, '--log-format=json', ...call.args]
    let child: Child
    try {
      child = startRuntime(call.runtime, { args, stdio: stdio.fds })
      report({ pid: child.pid, startTime: readProcess(child.pid)?.startTime ?? 0 })
    } finally {
      stdio.close()
    }
    const { code, timedOut } = await settle(call, child, signal)
    const text = code === 0 || timedOut ? '' : readAll(log)
    if (text !== '') {
      const program = { argv: runtimeArgv(call.runtime, args), exitCode: code, signal: null, stderr: text }
      throw runtimeFailure({ attempt: call.attempt, log: text, program })
    }
    return { ...exitStatus(code), timedOut }
  } finally {
    closeSync(log)
  }
}

async function settle({ timeoutMs, kill }: AttachedCall, child: Child, signal: AbortSignal): Promise<{ code: number; timedOut: boolean }> {
  let timer: Timer | undefined
  let abort: (() => void) | undefined
  const early = new Promise<'timeout' | 'abort'>((resolve) => {
    if (timeoutMs !== undefined) timer = startTimer(timeoutMs, () => resolve('timeout'))
    abort = () => resolve('abort')
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
  })
  try {
    const first = await Promise.race([child.exited, early])
    if (typeof first === 'string') await kill(child)
    const status = await child.exited
    if (first === 'abort') throw signal.reason
    return { code: shellExitCode(status), timedOut: first === 'timeout' }
  } finally {
    timer?.stop()
    if (abort) signal.removeEventListener('abort', abort)
  }
}

/** Only errors count: a runtime that warned and then ran the program did not fail. */
function readAll(fd: number): string {
  const size = Math.min(fstatSync(fd).size, MAX_LOG)
  const bytes = Buffer.alloc(size)
  const text = bytes.toString('utf8', 0, readSync(fd, bytes, 0, size, 0))
  return text.includes('"level":"error"') ? text : ''
}
