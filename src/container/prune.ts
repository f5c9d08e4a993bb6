import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { listContainers } from '../state/container-listing.ts'
import { checkOptions, invalidOption, type OptionNames } from '../util/options.ts'
import { removeContainer } from './remove.ts'

/** Which containers are removed; all conditions must hold. @public */
export interface PruneContainersOptions {
  /** Labels it must have, with this value or with `true` for any. @defaultValue \{\} */
  readonly labels?: Readonly<Record<string, string | true>>
  /** Only those created before this time. @defaultValue any time */
  readonly until?: Date
  /** An abort leaves what is not removed yet. */
  readonly signal?: AbortSignal
}

/** @public */
export interface PrunedContainers {
  /** Oldest first. */
  readonly removed: readonly { readonly id: string; readonly name: string }[]
}

const PRUNE_OPTIONS: OptionNames<PruneContainersOptions> = { labels: true, until: true, signal: true }

/** Removes containers that do not run. Ephemeral ones are left to who made them. */
export async function pruneContainers(context: Context, options: PruneContainersOptions = {}): Promise<PrunedContainers> {
  checkOptions('containers.prune', options, PRUNE_OPTIONS)
  const { labels, until, signal } = options
  const createdBefore = until?.getTime?.()
  if (until !== undefined && !Number.isFinite(createdBefore)) throw invalidOption('until', until, 'give a Date')
  const doomed = listContainers(context.db, {
    status: ['configured', 'stopped', 'exited', 'removing'],
    ephemeral: false,
    ...(labels && { labels }),
    ...(createdBefore !== undefined && { createdBefore }),
  })
  const removed: { id: string; name: string }[] = []
  for (const { id, name } of doomed) {
    signal?.throwIfAborted()
    if (await removeUnlessUsed(context, id, signal)) removed.push({ id, name })
  }
  return { removed }
}

/** Meanwhile it may have been started, or removed by somebody else, or another container may need it. */
async function removeUnlessUsed(context: Context, id: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await removeContainer(context, id, { ...(signal && { signal }) })
    return true
  } catch (error) {
    const spared = ['ERR_CONTAINER_STATE', 'ERR_CONTAINER_NOT_FOUND', 'ERR_CONTAINER_IN_USE'] as const
    if (spared.some((code) => isPodlibError(error, code))) return false
    throw error
  }
}
