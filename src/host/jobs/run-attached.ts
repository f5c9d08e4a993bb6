import { statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PodlibError } from '../../errors/errors.ts'
import { type AttachedEnd, runAttachedRuntime, type Started } from '../attached-runtime.ts'
import { hastenCgroups } from '../cgroup-haste.ts'
import type { Child } from '../child.ts'
import type { JobContext } from '../job.ts'
import { watchOom } from '../oom-watch.ts'
import type { RuntimeCommand } from '../runtime-command.ts'
import { callRuntimeQuietly } from '../start-runtime.ts'
import type { StdioPaths } from '../stdio.ts'

export interface RunAttachedInput {
  readonly runtime: RuntimeCommand
  readonly id: string
  /** Directory of the bundle; it exists. */
  readonly bundle: string
  /** Something must be mounted there. This is the place to look: the mount is perhaps a job that was sent just before. */
  readonly mountPoint?: string | undefined
  /** Text of `config.json`. */
  readonly config: string
  readonly stdio: StdioPaths
  readonly timeoutMs?: number | undefined
  /** The container's cgroup in the memory hierarchy, when it has a limit there: only then can it run out of memory. */
  readonly memoryCgroup?: string | undefined
}

/**
 * Runs a container without a monitor: the runtime is a child of the worker and its streams lead to the
 * application. Nothing is logged, nothing survives the worker. Returns when the container is gone, also
 * after a timeout or an abort.
 */
export async function runAttached(input: RunAttachedInput, context: JobContext<Started>): Promise<AttachedEnd> {
  const { runtime, id, bundle, mountPoint, config, stdio, timeoutMs, memoryCgroup } = input
  if (mountPoint !== undefined) assertMounted(mountPoint)
  hastenCgroups()
  const oom = watchOom(memoryCgroup)
  try {
    writeFileSync(join(bundle, 'config.json'), oom.adapt(config), { mode: 0o600 })
    const exit = await runAttachedRuntime(
      {
        runtime,
        args: ['run', '--bundle', bundle, id],
        stdio,
        timeoutMs,
        attempt: `run the container ${id}`,
        kill: (child) => killContainer(runtime, id, child),
      },
      context,
    )
    return { ...exit, oomKilled: await oom.happened() }
  } finally {
    oom.close()
  }
}

/** In an empty directory a program of a bind mount would run without its image. */
function assertMounted(target: string): void {
  const device = (path: string) => statSync(path, { throwIfNoEntry: false })?.dev
  if (device(target) !== device(dirname(target))) return
  throw new PodlibError('ERR_MOUNT_FAILED', `nothing is mounted at ${target}`, { details: { target } })
}

/** Between two attempts to kill a container that the runtime is still making. */
const RETRY_MS = 10
const GIVE_UP_MS = 10_000

async function killContainer(runtime: RuntimeCommand, id: string, child: Child): Promise<void> {
  let gone = false
  const ended = child.exited.then(() => {
    gone = true
  })
  const deadline = Date.now() + GIVE_UP_MS
  while (!gone && Date.now() < deadline) {
    const { exitCode } = await callRuntimeQuietly(runtime, ['kill', id, 'KILL'])
    if (exitCode === 0) await Promise.race([ended, delay(GIVE_UP_MS, undefined, { ref: false })])
    else await Promise.race([ended, delay(RETRY_MS)])
  }
  if (!gone) process.kill(child.pid, 'SIGKILL')
  await ended
  await callRuntimeQuietly(runtime, ['delete', '--force', id])
}
