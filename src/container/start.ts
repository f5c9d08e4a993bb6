import { errorMessage } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { cleanupContainer } from './cleanup.ts'
import { initContainer } from './init.ts'

/** Starts a container, initializing it first where needed. */
export async function startContainer(context: Context, id: string, signal?: AbortSignal): Promise<void> {
  await context.exits.start()
  await withContainer(context, id, (session) => startLocked(context, session), { signal })
}

async function startLocked(context: Context, session: ContainerSession): Promise<void> {
  await cleanupContainer(context, session)
  const { status } = session.row
  if (status === 'configured' || status === 'exited') await initContainer(context, session)
  const runtime = await context.ociRuntime(session.stored.ociRuntime)
  try {
    await runtime.start(session.row.id)
  } catch (error) {
    await abandonStart(context, session, errorMessage(error))
    throw error
  }
  await session.apply({ type: 'started', at: Date.now() }, { announce: 'start' })
}

/** A container that the OCI runtime could not start has ended: its program was not found, or may not be run. */
async function abandonStart(context: Context, session: ContainerSession, error: string): Promise<void> {
  await session.apply({ type: 'exited', exitCode: 127, exitSignal: null, oomKilled: false, finishedAt: Date.now(), error })
  await cleanupContainer(context, session)
}
