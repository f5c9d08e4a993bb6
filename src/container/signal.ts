import { setTimeout as sleep } from 'node:timers/promises'
import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { ContainerSession } from '../lifecycle/with-container.ts'
import { processesAtWork } from './stragglers.ts'

const RETRY_MS = 10
/** A hook may hold up the making of a container. */
const GIVE_UP_MS = 10_000

/**
 * Sends a signal by way of the OCI runtime. A container without a monitor counts as running while it is still being made, and
 * the runtime may not know it yet: then it is asked again until it does, or is through with it.
 */
export async function signalContainer(
  context: Context,
  { row: { id, attached }, stored }: ContainerSession,
  { signal, all }: { readonly signal: number; readonly all: boolean },
): Promise<void> {
  const runtime = await context.ociRuntime(stored.ociRuntime)
  for (const deadline = Date.now() + GIVE_UP_MS; ; await sleep(RETRY_MS)) {
    try {
      return await runtime.kill(id, signal, { all })
    } catch (error) {
      if (!attached || !hasNoProcess(error) || Date.now() > deadline) throw error
      if (processesAtWork(context.paths, id).length === 0) throw error
    }
  }
}

/** What an OCI runtime says of a container that is not there yet, or no more. */
export function hasNoProcess(error: unknown): boolean {
  return isPodlibError(error, 'ERR_OCI_CONTAINER_NOT_FOUND') || isPodlibError(error, 'ERR_CONTAINER_STATE')
}
