import { readFileSync, rmSync } from 'node:fs'
import { isPodlibError } from '../errors/errors.ts'
import { isSameProcess, listProcesses, signalProcess } from '../host/proc.ts'
import { removeCgroup } from '../host/remove-cgroup.ts'
import type { Context } from '../lifecycle/context.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
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
  killStragglers(context, session.row.id)
  await releaseHost(context, session)
  await session.patch({ initStep: null })
}

async function releaseHost(context: Context, { row, stored }: ContainerSession): Promise<void> {
  const { id } = row
  const [runtime, storage, { cgroups }] = await Promise.all([context.ociRuntime(stored.ociRuntime), context.storage(), context.machine()])
  await runtime.delete(id, { force: true })
  await removeCgroup(cgroups, cgroupPath(context, stored.config.cgroupParent, id))
  crashPoint('cleanup: deleted')
  await storage.unmount(id)
  crashPoint('cleanup: unmounted')
  if (!row.attached) (await context.monitor()).remove(id)
  rmSync(context.paths.bundle(id), { recursive: true, force: true })
}

/** Monitor and OCI runtime that an interrupted create or run left on their way: they name the container and this store. */
function killStragglers({ paths }: Context, id: string): void {
  for (const found of listProcesses()) {
    const text = commandLine(found.pid)
    if (text.includes(id) && text.includes(paths.runRoot) && found.pid !== process.pid) signalProcess(found, 'SIGKILL')
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    // It ended meanwhile.
    return ''
  }
}

/** Cleans up a container that has just ended, and removes it when it was ephemeral. What is gone meanwhile is fine. */
export async function cleanupEnded(context: Context, id: string): Promise<void> {
  try {
    await withContainer(context, id, async (session) => {
      await cleanupContainer(context, session)
      if (session.row.status === 'exited' && goesByItself(session)) await removeExited(context, session)
    })
  } catch (error) {
    if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
  }
}

function goesByItself({ row, stored }: ContainerSession): boolean {
  const { ephemeral, ownerPid, ownerStartTime } = row
  return ephemeral && !(stored.attended && ownerPid !== null && isSameProcess(ownerPid, ownerStartTime ?? 0))
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
  const removed = storage.unmount(id, { remove: true })
  rmSync(context.paths.bundle(id), { recursive: true, force: true })
  await removed
}
