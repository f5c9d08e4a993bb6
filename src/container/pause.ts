import type { Context } from '../lifecycle/context.ts'
import { withContainer } from '../lifecycle/with-container.ts'

/** Freezes every process of a running container. */
export async function pauseContainer(context: Context, id: string, signal?: AbortSignal): Promise<void> {
  await withContainer(
    context,
    id,
    async (session) => {
      await session.apply({ type: 'paused' }, { announce: 'pause' })
      await (await context.ociRuntime(session.stored.ociRuntime)).setPaused(id, true)
    },
    { signal },
  )
}

/** Lets a paused container go on. */
export async function resumeContainer(context: Context, id: string, signal?: AbortSignal): Promise<void> {
  await withContainer(
    context,
    id,
    async (session) => {
      await (await context.ociRuntime(session.stored.ociRuntime)).setPaused(id, false)
      await session.apply({ type: 'resumed' }, { announce: 'unpause' })
    },
    { signal },
  )
}
