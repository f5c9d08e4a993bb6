import { readFileSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, isPodlibError } from '../errors/errors.ts'
import { abandonedWorkersEnded } from '../host/abandoned-workers.ts'
import { isSameProcess, listProcesses, signalProcess } from '../host/proc.ts'
import { removeCgroup } from '../host/remove-cgroup.ts'
import type { Context } from '../lifecycle/context.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { getContainer } from '../state/container-table.ts'
import { crashPoint } from '../util/crash-point.ts'
import { cgroupPath } from './cgroup-path.ts'

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
  await killStragglers(context, session.row.id)
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

/** What was killed is gone after one look or two, unless it hangs in the kernel. */
const KILL_TIMEOUT_MS = 2_000

/**
 * Kills monitor and OCI runtime that an interrupted create or run left on their way. Looks again until there are none: a
 * monitor may have started its runtime between the look and the kill.
 */
async function killStragglers({ paths }: Context, id: string): Promise<void> {
  const deadline = Date.now() + KILL_TIMEOUT_MS
  const look = () => listProcesses().filter(({ pid }) => isStraggler(commandLine(pid), paths.ociRoot, id))
  for (let found = look(); found.length > 0 && Date.now() < deadline; found = look()) {
    for (const process of found) signalProcess(process, 'SIGKILL')
    await sleep(2)
  }
}

/** Whether it is told of the container by name, and of this store as the OCI runtime's: nobody else's program is. */
function isStraggler(argv: readonly string[], ociRoot: string, id: string): boolean {
  const root = argv.findIndex((word) => word === '--root' || word === '--runtime-arg=--root')
  return root >= 0 && argv.includes(id) && (argv[root + 1] ?? '').replace('--runtime-arg=', '').startsWith(`${ociRoot}/`)
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    // It ended meanwhile.
    return []
  }
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
