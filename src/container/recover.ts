import type { Context } from '../lifecycle/context.ts'
import { planRecovery } from '../lifecycle/recover.ts'
import { tolerated } from '../lifecycle/tolerated.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { cleanupContainer, removeExited, undoInit } from './cleanup.ts'
import { removeContainer } from './remove.ts'

/** Whoever holds a container's lock for longer is alive and at work on it: it needs no mending. */
const PATIENCE = { timeoutMs: 2_000 }

/**
 * Brings every container to a state that is true, after a crash or a reboot. One that cannot be mended now (its OCI
 * runtime is not installed any more) keeps its row and is tried again at the next open.
 */
export async function recoverContainers(context: Context): Promise<void> {
  const { settle, undo, remove } = planRecovery(context)
  const tasks = [
    ...settle.map((id) => ({ id, mend: () => withContainer(context, id, (session) => cleanupContainer(context, session), PATIENCE) })),
    ...undo.map((id) => ({ id, mend: () => withContainer(context, id, (session) => undoInterrupted(context, session), PATIENCE) })),
    ...remove.map((id) => ({ id, mend: () => finishRemoval(context, id) })),
  ]
  await Promise.all(tasks.map(({ mend }) => tolerated(mend)))
}

/** What the rows showed may have been the work of a living process: with the lock in hand it counts what they show now. */
async function undoInterrupted(context: Context, session: ContainerSession): Promise<void> {
  if (session.row.initStep !== null) await undoInit(context, session)
}

async function finishRemoval(context: Context, id: string): Promise<void> {
  const finish = async (session: ContainerSession) => {
    await undoInit(context, session)
    if (session.row.status !== 'removing') return false
    await removeExited(context, session)
    return true
  }
  if (!(await withContainer(context, id, finish, PATIENCE))) await removeContainer(context, id, { force: true })
}
