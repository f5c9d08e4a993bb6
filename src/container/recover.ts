import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { planRecovery } from '../lifecycle/recover.ts'
import { withContainer } from '../lifecycle/with-container.ts'
import { cleanupContainer, removeExited, undoInit } from './cleanup.ts'
import { removeContainer } from './remove.ts'

/**
 * Brings every container to a state that is true, after a crash or a reboot. One that cannot be mended now (its OCI
 * runtime is not installed any more) keeps its row and is tried again at the next open.
 */
export async function recoverContainers(context: Context): Promise<void> {
  const { settle, undo, remove } = planRecovery(context)
  const tasks = [
    ...settle.map((id) => ({ id, mend: () => withContainer(context, id, (session) => cleanupContainer(context, session)) })),
    ...undo.map((id) => ({ id, mend: () => withContainer(context, id, (session) => undoInit(context, session)) })),
    ...remove.map((id) => ({ id, mend: () => finishRemoval(context, id) })),
  ]
  await Promise.all(tasks.map(({ mend }) => mend().catch(ignoreForNow)))
}

async function finishRemoval(context: Context, id: string): Promise<void> {
  await withContainer(context, id, async (session) => {
    await undoInit(context, session)
    if (session.row.status === 'removing') await removeExited(context, session)
  })
  await removeContainer(context, id, { force: true })
}

function ignoreForNow(error: unknown): void {
  if (!isPodlibError(error)) throw error
}
