import { errorMessage, isPodlibError } from '../errors/errors.ts'
import { isSameProcess } from '../host/proc.ts'
import type { Context } from '../lifecycle/context.ts'
import { assertCanHappen, canHappen } from '../lifecycle/state-machine.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { crashPoint } from '../util/crash-point.ts'
import { cleanupContainer, undoInit } from './cleanup.ts'
import { initContainer } from './init.ts'

/** Starts a container, initializing it first where needed: that can be aborted, the start itself is too short for it. */
export async function startContainer(context: Context, id: string, signal?: AbortSignal): Promise<void> {
  await context.exits.start()
  await withContainer(context, id, (session) => startLocked(context, session, signal), { signal })
}

async function startLocked(context: Context, session: ContainerSession, signal: AbortSignal | undefined): Promise<void> {
  await cleanupContainer(context, session)
  // Of a program that died in the middle of it: what it mounted or created would be in the way.
  if (session.row.initStep !== null) await undoInit(context, session)
  const wasCreated = session.row.status === 'created'
  if (canHappen('initialized', session.row.status)) await initContainer(context, session, signal)
  assertCanHappen('started', session.row)
  const runtime = await context.ociRuntime(session.stored.ociRuntime)
  crashPoint('start: before the runtime')
  try {
    await runtime.start(session.row.id)
  } catch (error) {
    if (!(wasCreated && runsAlready(session.row, error))) {
      await abandonStart(context, session, errorMessage(error))
      throw error
    }
  }
  crashPoint('start: after the runtime')
  await session.apply({ type: 'started', at: Date.now() }, { announce: 'start' })
}

/** Who started it before died between doing so and writing it down. */
function runsAlready({ pid, pidStartTime }: ContainerRow, error: unknown): boolean {
  return isPodlibError(error, 'ERR_CONTAINER_STATE') && pid !== null && isSameProcess(pid, pidStartTime ?? 0)
}

/** A container that the OCI runtime could not start has ended: its program was not found, or may not be run. */
async function abandonStart(context: Context, session: ContainerSession, error: string): Promise<void> {
  await session.apply({ type: 'exited', exitCode: 127, exitSignal: null, oomKilled: false, finishedAt: Date.now(), error })
  await cleanupContainer(context, session)
}
