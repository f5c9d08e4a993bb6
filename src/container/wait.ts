import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { expectsProcess } from '../lifecycle/reconcile.ts'
import { withContainer } from '../lifecycle/with-container.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { getContainer } from '../state/container-table.ts'
import { getExitRecord } from '../state/exit-record-table.ts'

/**
 * How a container's process ended.
 *
 * @public
 */
export interface ExitStatus {
  /**
   * The program's own code; 128 + n when signal n ended it; -1 when nobody knows, because its monitor was killed or the host was
   * restarted. 0 also for a container that was never started: nothing of it has failed, and `inspect` says `configured`.
   */
  readonly exitCode: number
  /** Name of the signal that ended it, `SIGKILL`. */
  readonly signal: string | null
  /** The kernel killed something in it for want of memory. */
  readonly oomKilled: boolean
}

/**
 * Waits until a container has ended. One that has never been started, or has ended already, does not wait. The answer
 * is there also when the container was removed meanwhile.
 */
export async function waitForExit(context: Context, id: string, signal?: AbortSignal): Promise<ExitStatus> {
  await context.exits.start()
  const row = getContainer(context.db, id)
  if (row === undefined) return recordedExit(context, id)
  if (expectsProcess(row.status)) await context.exits.ended(row, signal)
  try {
    return await withContainer(context, id, async (session) => exitStatusOf(session.row), { signal })
  } catch (error) {
    if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
    return recordedExit(context, id)
  }
}

function recordedExit(context: Context, id: string): ExitStatus {
  const record = getExitRecord(context.db, id)
  if (record === undefined)
    throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `no container has the id ${id.slice(0, 12)}`, { details: { id } })
  return { exitCode: record.exitCode, signal: record.exitSignal, oomKilled: record.oomKilled }
}

/** Like podman, 0 for one that was never started; -1 for one that a restart of the host has ended. */
function exitStatusOf({ exitCode, exitSignal, oomKilled, startedAt }: ContainerRow): ExitStatus {
  return { exitCode: exitCode ?? (startedAt === null ? 0 : -1), signal: exitSignal, oomKilled }
}
