import type { Duration } from '../bundle/container-options.ts'
import { PodlibError } from '../errors/errors.ts'
import { killTree, listProcesses } from '../host/proc.ts'
import type { Context } from '../lifecycle/context.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { crashPoint } from '../util/crash-point.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { parseDuration } from '../util/quantity.ts'
import { timeLimit } from '../util/timer.ts'
import { cleanupContainer } from './cleanup.ts'
import { ignoreRemoved } from './ignore-removed.ts'
import { hasNoProcess, signalContainer } from './signal.ts'

/** @public */
export interface StopOptions {
  /** Time between the stop signal and SIGKILL: milliseconds, or text with a unit; 0 kills at once. @defaultValue the container's `stopTimeout` */
  readonly timeoutMs?: Duration
  /** Gives up waiting; the container has its stop signal and is ended by whoever stops it next. */
  readonly signal?: AbortSignal
}

const STOP_OPTIONS: OptionNames<StopOptions> = { timeoutMs: true, signal: true }

/** SIGKILL cannot be refused; what still lives after this long hangs in the kernel. */
const KILL_TIMEOUT_MS = 5_000
const SIGKILL = 9

/**
 * Asks a container to end, kills it when it does not, and cleans up. One that has ended already is left as it is. The
 * container's lock is free while its process takes its time.
 */
export async function stopContainer(context: Context, id: string, options: StopOptions = {}): Promise<void> {
  checkOptions('stop', options, STOP_OPTIONS)
  const timeoutMs = options.timeoutMs === undefined ? undefined : parseDuration(options.timeoutMs, 'timeoutMs')
  await context.exits.start()
  const asked = await withContainer(context, id, (session) => askToStop(context, session, timeoutMs), { signal: options.signal })
  if (asked === undefined) return
  if (!(await endsWithin(context, asked.row, asked.timeoutMs, options.signal))) {
    await killNow(context, id, options.signal)
    if (!(await endsWithin(context, asked.row, KILL_TIMEOUT_MS, options.signal))) throw unkillable(asked.row)
  }
  await withContainer(context, id, (session) => cleanupContainer(context, session), { signal: options.signal }).catch(ignoreRemoved)
}

async function askToStop(
  context: Context,
  session: ContainerSession,
  timeout: number | undefined,
): Promise<{ row: ContainerRow; timeoutMs: number } | undefined> {
  const { status } = session.row
  if (status === 'exited' || status === 'configured') return undefined
  if (status === 'stopped') {
    await cleanupContainer(context, session)
    return undefined
  }
  const { stopSignal, stopTimeoutMs } = session.stored.config.lifecycle
  const timeoutMs = timeout ?? stopTimeoutMs
  if (status !== 'stopping') await session.apply({ type: 'stop-requested' }, { announce: 'stop' })
  crashPoint('stop: requested')
  // A container that has not been started has nobody to hear the signal.
  const gently = timeoutMs > 0 && status !== 'created'
  await sendSignal(context, session, gently ? stopSignal : SIGKILL)
  crashPoint('stop: signal sent')
  if (status === 'paused' || status === 'stopping') await thaw(context, session)
  return { row: session.row, timeoutMs: gently ? timeoutMs : KILL_TIMEOUT_MS }
}

async function sendSignal(context: Context, session: ContainerSession, signal: number): Promise<void> {
  const { monitorPid } = session.row
  // Without a process namespace of its own the first process's end does not take the others along.
  const all = signal === SIGKILL && session.stored.config.namespaces.pid.mode !== 'private'
  if (all && monitorPid !== null && (await context.machine()).facts.cgroupControllers.length === 0) return killChildren(monitorPid)
  await signalContainer(context, session, { signal, all }).catch((error: unknown) => {
    // It has ended by itself meanwhile.
    if (!hasNoProcess(error)) throw error
  })
}

/** Without a cgroup the OCI runtime cannot tell which processes are the container's; whatever one of them leaves behind becomes the monitor's child. */
function killChildren(monitorPid: number): void {
  for (const { pid } of listProcesses().filter(({ parent }) => parent === monitorPid)) killTree(pid)
}

/** A frozen process hears no signal. That it is frozen may be known only to somebody who began to stop it and died. */
async function thaw(context: Context, session: ContainerSession): Promise<void> {
  const runtime = await context.ociRuntime(session.stored.ociRuntime)
  await runtime.setPaused(session.row.id, false).catch(() => {})
}

async function killNow(context: Context, id: string, signal: AbortSignal | undefined): Promise<void> {
  const kill = async (session: ContainerSession) => {
    if (session.row.status === 'stopping') await sendSignal(context, session, SIGKILL)
  }
  await withContainer(context, id, kill, { signal }).catch(ignoreRemoved)
}

async function endsWithin(context: Context, row: ContainerRow, ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  const limit = timeLimit(ms)
  try {
    await context.exits.ended(row, signal ? AbortSignal.any([signal, limit.signal]) : limit.signal)
    return true
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    if (limit.signal.aborted) return false
    throw error
  } finally {
    limit.stop()
  }
}

function unkillable(row: ContainerRow): PodlibError {
  return new PodlibError(
    'ERR_TIMEOUT',
    `container ${row.id.slice(0, 12)} is still there ${KILL_TIMEOUT_MS / 1000} s after SIGKILL: process ${row.pid} hangs in the kernel`,
    {
      details: { id: row.id, pid: row.pid },
    },
  )
}
