import { closeSync, writeSync } from 'node:fs'
import { backOff, delay } from '../../util/delay.ts'
import { type AttachedEnd, runAttachedRuntime, type Started } from '../attached-runtime.ts'
import { hastenCgroups } from '../cgroup-haste.ts'
import { killExec } from '../exec-mark.ts'
import type { JobContext } from '../job.ts'
import { countOomKills } from '../oom-watch.ts'
import { readProcess } from '../proc.ts'
import type { RuntimeCommand } from '../runtime-command.ts'
import type { StdioPaths } from '../stdio.ts'
import { anonymousFile } from '../sys/posix-spawn.ts'

export interface ExecAttachedInput {
  readonly runtime: RuntimeCommand
  /** The running container. */
  readonly id: string
  /** Text of the OCI process object. */
  readonly process: string
  readonly stdio: StdioPaths
  /** Counted from the runtime's start. */
  readonly timeoutMs?: number | undefined
  /**
   * First process of a container that has a user namespace of its own: nothing is started before it runs its program. Until then
   * crun before 1.8.7, which joins the user namespace first, may not enter the others (containers/crun issue 1264).
   */
  readonly awaitProgram?: number | undefined
  /** See `RunAttachedInput`. */
  readonly memoryCgroup?: string | undefined
}

/** A container on a busy host gets there in milliseconds; one that does not is the runtime's to judge. */
const PATIENCE_MS = 5_000

/**
 * Runs one more process in a container, as a child of the worker with its streams leading to the
 * application. On timeout and abort the process and all that it started are killed; the container lives on.
 */
export async function execAttached(
  { runtime, id, process: spec, stdio, timeoutMs, awaitProgram, memoryCgroup }: ExecAttachedInput,
  context: JobContext<Started>,
): Promise<AttachedEnd> {
  hastenCgroups()
  if (awaitProgram !== undefined) await programRuns(awaitProgram, context.signal)
  const oomKills = countOomKills(memoryCgroup)
  // A memory file, because the environment may hold secrets: they are never on a disk and nothing is left to remove.
  const file = anonymousFile('process.json')
  try {
    const bytes = Buffer.from(spec)
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written, bytes.length - written, written)
    const exit = await runAttachedRuntime(
      {
        runtime,
        args: ['exec', '--process', `/proc/${process.pid}/fd/${file}`, id],
        stdio,
        timeoutMs,
        attempt: `run a process in the container ${id}`,
        kill: (child) => killExec(child.pid),
      },
      context,
    )
    // Whatever else the kernel has killed in the container meanwhile, it was not this process unless it died so.
    return { ...exit, oomKilled: exit.exitSignal === 'SIGKILL' && oomKills() > 0 }
  } finally {
    closeSync(file)
  }
}

async function programRuns(pid: number, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  for (let attempt = 0; readProcess(pid)?.executed === false && Date.now() < deadline; attempt++) {
    await delay(backOff(attempt, 1, 20), signal)
  }
}
