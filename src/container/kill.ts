import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { withContainer } from '../lifecycle/with-container.ts'
import { parseSignal, signalName } from '../util/signal.ts'
import { signalContainer } from './signal.ts'

/** Sends a signal, by name or number, to a container's first process. It does not wait for what comes of it. */
export async function killContainer(context: Context, id: string, signalText: string | number, signal?: AbortSignal): Promise<void> {
  const number = parseSignal(signalText)
  if (number === undefined) throw new PodlibError('ERR_INVALID_ARGUMENT', `unknown signal ${JSON.stringify(signalText)}`)
  await context.exits.start()
  await withContainer(
    context,
    id,
    async (session) => {
      const { status } = session.row
      if (status !== 'running' && status !== 'paused' && status !== 'stopping') {
        throw new PodlibError('ERR_CONTAINER_STATE', `cannot kill container ${id.slice(0, 12)}: its status is ${status}`, {
          details: { id, status },
        })
      }
      await session.patch({ stoppedByUser: true })
      await signalContainer(context, session, { signal: number, all: false })
      await session.announce('kill', { signal: signalName(number) })
    },
    { signal },
  )
}
