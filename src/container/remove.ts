import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { expectsProcess } from '../lifecycle/reconcile.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import type { OptionNames } from '../util/options.ts'
import { removeEnded, undoInit } from './cleanup.ts'
import { stopContainer } from './stop.ts'

/** @public */
export interface RemoveOptions {
  /** Kill it first if it runs. @defaultValue false */
  readonly force?: boolean
  /** An abort leaves the container as far removed as it is; removing it again goes on from there. */
  readonly signal?: AbortSignal
}

export const REMOVE_OPTIONS: OptionNames<RemoveOptions> = { force: true, signal: true }

interface Removal extends RemoveOptions {
  /** Never fails; what the container has on disk stays until then. */
  readonly read?: Promise<unknown>
}

/** Removes a container with its writable layer and log. Removing one that is gone is an error of kind `not-found`. */
export async function removeContainer(context: Context, id: string, { force = false, signal, read }: Removal = {}): Promise<void> {
  const removed = await withContainer(context, id, (session) => removeLocked(context, session, { force, read }), { signal })
  if (removed) return
  try {
    await stopContainer(context, id, { timeoutMs: 0, ...(signal && { signal }) })
    await withContainer(context, id, (session) => removeLocked(context, session, { force: false, read }), { signal })
  } catch (error) {
    // An ephemeral container goes by itself when it has been stopped.
    if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
  }
}

/** @returns false when it has to be stopped first, which is done without its lock. */
async function removeLocked(
  context: Context,
  session: ContainerSession,
  { force, read }: { readonly force: boolean; readonly read: Promise<unknown> | undefined },
): Promise<boolean> {
  const { id, status, initStep } = session.row
  if (expectsProcess(status)) {
    if (force || status === 'created') return false
    throw new PodlibError(
      'ERR_CONTAINER_STATE',
      `cannot remove container ${id.slice(0, 12)}: it is ${status}; stop it first, or use force`,
      { details: { id, status } },
    )
  }
  if (initStep !== null) await undoInit(context, session)
  await removeEnded(context, session, read)
  return true
}
