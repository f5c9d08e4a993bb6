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
  if (canHappen('initialized', session.row.status)) await initContainer(context, session, signal)
  assertCanHappen('started', session.row)
  await startProgram(context, session)
  crashPoint('start: after the runtime')
  if (canHappen('started', session.row.status)) await session.apply({ type: 'started', at: Date.now() }, { announce: 'start' })
}

/**
 * Has the OCI runtime start the program. One that was killed, or whose worker was, has said nothing: the host shows what became
 * of it, and if that is nothing it is told again.
 */
async function startProgram(context: Context, session: ContainerSession): Promise<void> {
  const runtime = await context.ociRuntime(session.stored.ociRuntime)
  crashPoint('start: before the runtime')
  const start = () => runtime.start(session.row.id)
  const startUnlessRunning = async (error: unknown) => {
    if (isAnswer(error)) throw error
    await session.catchUp()
    if (canHappen('started', session.row.status)) await start()
  }
  try {
    await start().catch(startUnlessRunning)
  } catch (error) {
    if (runsAlready(session.row, error)) return
    if (isAnswer(error)) await abandonStart(context, session, errorMessage(error))
    throw error
  }
}

/** Whether it is what the OCI runtime itself said before it ended. */
function isAnswer(error: unknown): boolean {
  return isPodlibError(error) && typeof error.program?.exitCode === 'number'
}

/** Who started it before died, or was killed, between doing so and saying it. */
function runsAlready({ pid, pidStartTime }: ContainerRow, error: unknown): boolean {
  return isPodlibError(error, 'ERR_CONTAINER_STATE') && pid !== null && isSameProcess(pid, pidStartTime ?? 0)
}

/** A container that the OCI runtime could not start has ended: its program was not found, or may not be run. */
async function abandonStart(context: Context, session: ContainerSession, error: string): Promise<void> {
  const exit = { exitCode: 127, exitSignal: null, oomKilled: false, finishedAt: Date.now(), error } as const
  await session.apply({ type: 'exited', ...exit }, { announce: 'died' })
  await cleanupContainer(context, session)
}
