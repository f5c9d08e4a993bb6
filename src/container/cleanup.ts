import { readFileSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errorMessage, isPodlibError } from '../errors/errors.ts'
import { abandonedWorkersEnded } from '../host/abandoned-workers.ts'
import { isSameProcess } from '../host/proc.ts'
import { removeCgroup } from '../host/remove-cgroup.ts'
import type { Context } from '../lifecycle/context.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { getContainer } from '../state/container-table.ts'
import { crashPoint } from '../util/crash-point.ts'
import { cgroupPath } from './cgroup-path.ts'
import { killStragglers } from './stragglers.ts'

/**
 * The mirror of init: takes away what a container that has ended holds on the host. Every step can be repeated, so an
 * interrupted clean-up is simply done again.
 */
export async function cleanupContainer(context: Context, session: ContainerSession): Promise<void> {
  if (session.row.status !== 'stopped') return
  await releaseHost(context, session)
  await session.apply({ type: 'cleaned' }, { announce: 'cleanup' })
}

/** Undoes an init that failed or was interrupted: nothing of it is running in a place that the row knows. */
export async function undoInit(context: Context, session: ContainerSession): Promise<void> {
  await abandonedWorkersEnded(context.paths.runRoot)
  await killStragglers(context.paths, session.row.id)
  await releaseHost(context, session)
  await session.patch({ initStep: null })
}

async function releaseHost(context: Context, session: ContainerSession): Promise<void> {
  await deleteFromRuntime(context, session)
  await (await context.storage()).unmount(session.row.id)
  crashPoint('cleanup: unmounted')
  await removeRunFiles(context, session)
}

async function deleteFromRuntime(context: Context, { row: { id }, stored }: ContainerSession): Promise<void> {
  const [runtime, { cgroups }] = await Promise.all([context.ociRuntime(stored.ociRuntime), context.machine()])
  await runtime.delete(id, { force: true })
  await removeCgroup(cgroups, cgroupPath(context, stored.config.cgroupParent, id))
  crashPoint('cleanup: deleted')
}

async function removeRunFiles(context: Context, { row: { id, attached } }: ContainerSession): Promise<void> {
  if (!attached) (await context.monitor()).remove(id)
  rmSync(context.paths.bundle(id), { recursive: true, force: true })
}

/** Cleans up a container that has just ended, and removes it when it was ephemeral. What is gone meanwhile is fine. */
async function cleanupEnded(context: Context, id: string): Promise<void> {
  try {
    await withContainer(context, id, async (session) => {
      // The verb that made it still wants its log, and then takes it away as a whole.
      if (isAttended(session)) return
      const { status, ephemeral } = session.row
      if (ephemeral && (status === 'stopped' || status === 'exited')) await removeEnded(context, session)
      else await cleanupContainer(context, session)
    })
  } catch (error) {
    if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
  }
}

/**
 * The same behind everybody's back. Nobody is there to be told of a failure, which must not end the application: it becomes
 * an event, and what is left is cleaned up when the container is next used or the store is next opened.
 */
export async function cleanupBehind(context: Context, id: string): Promise<void> {
  try {
    await cleanupEnded(context, id)
  } catch (failure) {
    await announceFailure(context, id, errorMessage(failure)).catch(() => {})
  }
}

async function announceFailure({ db, events }: Context, id: string, error: string): Promise<void> {
  const row = getContainer(db, id)
  if (row === undefined) return
  const { name, imageName, labels } = row
  const attributes = { ...(imageName && { image: imageName }), labels, error }
  await events.publish({ type: 'container', action: 'cleanup-error', id, name, attributes })
}

function isAttended({ row: { ownerPid, ownerStartTime }, stored }: ContainerSession): boolean {
  return Boolean(stored.attended) && ownerPid !== null && isSameProcess(ownerPid, ownerStartTime ?? 0)
}

/**
 * Removes a container that does not run: one that is not cleaned up yet and ephemeral goes in one step. Its files stay until
 * whoever still reads them is done.
 */
export async function removeEnded(context: Context, session: ContainerSession, read?: Promise<unknown>): Promise<void> {
  const { status, ephemeral } = session.row
  if (status === 'stopped' && ephemeral && !isStillLookedAt(context, session)) {
    const storage = await context.storage()
    const removed = Promise.resolve(read).then(() => storage.unmount(session.row.id, { remove: true }))
    await finishAll([deleteFromRuntime(context, session), removed])
    await removeRunFiles(context, session)
    await session.apply({ type: 'cleaned' }, { announce: 'cleanup', forget: true })
    return
  }
  await cleanupContainer(context, session)
  await read
  await removeExited(context, session)
}

/**
 * Whether something may still use an ended container's files while the OCI runtime deletes it: a hook for that moment, or
 * processes that did not end with the first one because the pid namespace is not its own.
 */
function isStillLookedAt({ paths }: Context, { row, stored }: ContainerSession): boolean {
  if (stored.config.namespaces.pid.mode !== 'private') return true
  try {
    return readFileSync(join(paths.bundle(row.id), 'config.json'), 'utf8').includes('"poststop"')
  } catch {
    // Somebody was at it already: step by step, then.
    return true
  }
}

/** Waits for all of them also when one has failed: nobody may think that the rest is over. */
async function finishAll(steps: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(steps)).find((one) => one.status === 'rejected')
  if (failed) throw failed.reason
}

/** The end of a removal: what it has on disk and in the run directory, then the row. */
export async function removeExited(context: Context, session: ContainerSession): Promise<void> {
  if (session.row.status !== 'removing') await session.apply({ type: 'removal-begun' })
  crashPoint('remove: begun')
  await removeFiles(context, session.row.id)
  crashPoint('remove: storage removed')
  await session.forget()
}

/** What a container has on disk and in the run directory. */
export async function removeFiles(context: Context, id: string): Promise<void> {
  const storage = await context.storage()
  await finishAll([storage.unmount(id, { remove: true }), rm(context.paths.bundle(id), { recursive: true, force: true })])
}
