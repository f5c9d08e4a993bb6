import { isSameProcess } from '../host/proc.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { loadContainers } from '../state/container-table.ts'
import { deleteLayer, listLayers } from '../state/layer-table.ts'
import { getMeta, setMeta } from '../state/meta-table.ts'
import type { Context } from './context.ts'
import { expectsProcess } from './reconcile.ts'

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
  for (const row of loadContainers(context.db)) {
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

/** Whether the host was started anew since the store was last used; it is noted that this was seen. */
export async function noticeReboot(context: Context): Promise<boolean> {
  const before = getMeta(context.db, 'bootId')
  if (before === context.bootId) return false
  await context.db.transaction(() => {
    setMeta(context.db, 'bootId', context.bootId)
    if (before !== undefined) context.events.record({ type: 'system', action: 'refresh', id: '', name: '', attributes: {} })
  })
  return before !== undefined
}

/**
 * Layers that were never known to be on the disk do not survive a reboot, and deletions that were cut short are finished.
 */
export async function sweepLayers(context: Context, rebooted: boolean): Promise<void> {
  const doomed = [...listLayers(context.db, 'deleting'), ...(rebooted ? listLayers(context.db, 'staging') : [])]
  if (doomed.length === 0) return
  const storage = await context.storage()
  for (const { diffId } of doomed) {
    await context.locks.withLock({ kind: 'layer', id: diffId }, async () => {
      await storage.removeLayer(diffId)
      await context.db.transaction(() => deleteLayer(context.db, diffId))
    })
  }
}
