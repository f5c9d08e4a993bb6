import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { abandonedWorkersEnded } from '../host/abandoned-workers.ts'
import { isSameProcess } from '../host/proc.ts'
import type { Digest } from '../spec/digest.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { loadUnsettledContainers } from '../state/container-table.ts'
import { listImagesOfLayer } from '../state/image-table.ts'
import { deleteLayer, getLayer, listLayers } from '../state/layer-table.ts'
import { getMeta, setMeta } from '../state/meta-table.ts'
import type { Context } from './context.ts'
import { flushImagesBehind } from './flush-images.ts'
import { endAbandonedMounts } from './image-mounts.ts'
import { forgetLostImages, forgetUnflushed } from './lost-layers.ts'
import { endOrphans } from './orphans.ts'
import { expectsProcess } from './reconcile.ts'
import { sweepContainers } from './sweep-containers.ts'
import { tolerated } from './tolerated.ts'

/** Containers that something was cut short for, and what has to be done. */
export interface Recovery {
  /** Look at the host and clean up what has ended. */
  readonly settle: readonly string[]
  /** Its init was interrupted: undo it. */
  readonly undo: readonly string[]
  /** Its removal was interrupted, or it was ephemeral and its owner is gone: remove it. */
  readonly remove: readonly string[]
}

/**
 * What an earlier process left unfinished. Called at every open; reads rows only, so that a store in order costs a
 * query. Acting on it is the caller's.
 */
export function planRecovery(context: Context): Recovery {
  const plan = { settle: [] as string[], undo: [] as string[], remove: [] as string[] }
  for (const row of loadUnsettledContainers(context.db)) {
    if (row.status === 'removing' || isOrphan(context, row)) plan.remove.push(row.id)
    else if (row.initStep !== null) plan.undo.push(row.id)
    else if (expectsProcess(row.status) || row.status === 'stopped') plan.settle.push(row.id)
  }
  return plan
}

function isOrphan(context: Context, { ephemeral, ownerPid, ownerStartTime, bootId }: ContainerRow): boolean {
  if (!ephemeral || ownerPid === null) return false
  return bootId !== context.bootId || !isSameProcess(ownerPid, ownerStartTime ?? 0)
}

/** Whoever holds a layer's lock for longer is alive and fetches it: what is in its way it removes itself. */
const PATIENCE = { timeoutMs: 2_000 }

/**
 * Takes away what programs that were cut short left of layers, streams and processes, and of containers without a row. Costs a
 * query and a look at two directories in a store in order. What cannot be taken away now is tried again at the next open.
 */
export async function recoverStore(context: Context): Promise<void> {
  const rebooted =
    getMeta(context.db, 'bootId') !== context.bootId &&
    (await context.locks.withLock({ kind: 'image', id: 'reboot' }, () => refreshAfterReboot(context)))
  const { sessions, staging, runRoot } = context.paths
  const crashed = ofDeadProcesses(sessions)
  if (crashed.length > 0) await abandonedWorkersEnded(runRoot)
  await removeDoomedLayers(context, { rebooted })
  await tolerated(() => endAbandonedMounts(context))
  if (rebooted) await tolerated(() => sweepContainers(context))
  context.background.add(flushImagesBehind(context))
  if (crashed.length > 0) await tolerated(() => clearUpAfter(context, crashed))
  else if (ofDeadProcesses(staging).length > 0) await tolerated(() => sweepStorage(context))
}

/** Takes along the directories of dead programs when nothing else of theirs is left: they show that there is something to do. */
async function clearUpAfter(context: Context, crashed: readonly string[]): Promise<void> {
  await endOrphans(context)
  await sweepStorage(context)
  await sweepContainers(context)
  for (const session of crashed) rmSync(session, { recursive: true, force: true })
}

/** Layers that were never known to be on the disk do not survive a reboot, nor do their images. @returns whether there was one */
async function refreshAfterReboot(context: Context): Promise<boolean> {
  const { db, bootId } = context
  const before = getMeta(db, 'bootId')
  if (before === bootId) return false
  if (before !== undefined) {
    // Nobody can be fetching one: whoever opens the store waits for this.
    await db.transaction(() => forgetUnflushed(context))
    await tolerated(() => sweepStorage(context))
  }
  await db.transaction(() => {
    setMeta(db, 'bootId', bootId)
    if (before !== undefined) context.events.record({ type: 'system', action: 'refresh', id: '', name: '', attributes: {} })
  })
  return before !== undefined
}

/** What lies in a directory under the names of processes that are gone. */
function ofDeadProcesses(directory: string): string[] {
  if (!existsSync(directory)) return []
  const dead = readdirSync(directory).filter((name) => {
    const [pid, startTime] = name.split('-')
    return !isSameProcess(Number(pid), Number(startTime))
  })
  return dead.map((name) => join(directory, name))
}

/** Removes what was staged by the dead, and layers that were published and got no row. */
async function sweepStorage(context: Context): Promise<void> {
  const storage = await context.storage()
  const unknown = (diffId: Digest) => getLayer(context.db, diffId) === undefined
  for (const diffId of (await storage.sweep()).filter(unknown)) {
    await withFreeLayer(context, diffId, async () => {
      if (unknown(diffId)) await storage.removeLayer(diffId)
    })
  }
}

async function removeDoomedLayers(context: Context, { rebooted }: { readonly rebooted: boolean }): Promise<void> {
  const doomed = listLayers(context.db, 'deleting')
  // Containers that held them may be gone by now.
  if (doomed.length > 0) await context.db.transaction(() => forgetLostImages(context))
  for (const { diffId } of doomed) {
    const remove = async () => {
      // It may have been fetched anew while its lock was waited for.
      if (getLayer(context.db, diffId)?.state !== 'deleting') return
      // A container runs from it perhaps, with what the memory still has.
      if (!rebooted && listImagesOfLayer(context.db, diffId).length > 0) return
      await (await context.storage()).removeLayer(diffId)
      await context.db.transaction(() => {
        if (listImagesOfLayer(context.db, diffId).length === 0) deleteLayer(context.db, diffId)
      })
    }
    await withFreeLayer(context, diffId, remove)
  }
}

async function withFreeLayer({ locks }: Context, diffId: Digest, work: () => Promise<void>): Promise<void> {
  await tolerated(() => locks.withLock({ kind: 'layer', id: diffId }, work, PATIENCE))
}
