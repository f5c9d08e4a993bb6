import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { isSameProcess } from '../host/proc.ts'
import type { Context } from '../lifecycle/context.ts'
import { assertCanHappen } from '../lifecycle/state-machine.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { crashPoint } from '../util/crash-point.ts'

/** Freezes every process of a running container. */
export async function pauseContainer(context: Context, id: string, signal?: AbortSignal): Promise<void> {
  const pause = async (session: ContainerSession) => {
    assertCanHappen('paused', session.row)
    await setPaused(context, session, true)
    crashPoint('pause: frozen')
    await session.apply({ type: 'paused' }, { announce: 'pause' })
  }
  await withContainer(context, id, pause, { signal })
}

/** Lets a paused container go on. */
export async function resumeContainer(context: Context, id: string, signal?: AbortSignal): Promise<void> {
  const resume = async (session: ContainerSession) => {
    assertCanHappen('resumed', session.row)
    await setPaused(context, session, false)
    crashPoint('resume: thawed')
    await session.apply({ type: 'resumed' }, { announce: 'unpause' })
  }
  await withContainer(context, id, resume, { signal })
}

async function setPaused(context: Context, session: ContainerSession, paused: boolean): Promise<void> {
  const { id, pid, pidStartTime } = session.row
  if ((await context.machine()).facts.cgroupControllers.length === 0) {
    const text = `container ${id.slice(0, 12)} has no cgroup of its own on this host: its processes cannot be frozen together`
    throw new PodlibError('ERR_CGROUP', text, { details: { id } })
  }
  const runtime = await context.ociRuntime(session.stored.ociRuntime)
  try {
    await runtime.setPaused(id, paused)
  } catch (error) {
    // It is so already when who did it before died without writing it down.
    const alive = pid !== null && isSameProcess(pid, pidStartTime ?? 0)
    if (!alive || !isPodlibError(error, 'ERR_CONTAINER_STATE')) throw error
  }
}
