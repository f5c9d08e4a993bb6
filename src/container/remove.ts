import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { expectsProcess } from '../lifecycle/reconcile.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { cleanupContainer, removeExited, undoInit } from './cleanup.ts'
import { stopContainer } from './stop.ts'

/** @public */
export interface RemoveOptions {
  /** Kill it first if it runs. @defaultValue false */
  readonly force?: boolean
  /** An abort leaves the container as far removed as it is; removing it again goes on from there. */
  readonly signal?: AbortSignal
}

/** Removes a container with its writable layer and log. Removing one that is gone is an error of kind `not-found`. */
export async function removeContainer(context: Context, id: string, { force = false, signal }: RemoveOptions = {}): Promise<void> {
  const removed = await withContainer(context, id, (session) => removeLocked(context, session, force), { signal })
  if (removed) return
  try {
    await stopContainer(context, id, { timeoutMs: 0, ...(signal && { signal }) })
    await withContainer(context, id, (session) => removeLocked(context, session, false), { signal })
  } catch (error) {
    // An ephemeral container goes by itself when it has been stopped.
    if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
  }
}

/** @returns false when it has to be stopped first, which is done without its lock. */
async function removeLocked(context: Context, session: ContainerSession, force: boolean): Promise<boolean> {
  const { id, status, initStep } = session.row
  if (expectsProcess(status)) {
    if (force || status === 'created') return false
    throw new PodlibError(
      'ERR_CONTAINER_STATE',
      `cannot remove container ${id.slice(0, 12)}: it is ${status}; stop it first, or use force`,
      { details: { id, status } },
    )
  }
  await cleanupContainer(context, session)
  if (initStep !== null) await undoInit(context, session)
  await removeExited(context, session)
  return true
}
