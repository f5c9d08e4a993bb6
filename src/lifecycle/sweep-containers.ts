import { existsSync, readdirSync, rmSync } from 'node:fs'
import { getContainer } from '../state/container-table.ts'
import type { Context } from './context.ts'
import { tolerated } from './tolerated.ts'

const ID = /^[0-9a-f]{64}$/

/**
 * Removes what is on the host of containers that have no row: the worker of a program that died made it when somebody else
 * had removed the container already, or the row was lost in a power cut. Whoever holds such a container's lock is still at it.
 */
export async function sweepContainers(context: Context): Promise<void> {
  const { db, locks, paths } = context
  const isUnknown = (id: string) => getContainer(db, id) === undefined
  const found = [paths.mounts, paths.bundles, paths.containers].flatMap((path) => (existsSync(path) ? readdirSync(path) : []))
  for (const id of new Set(found.filter((name) => ID.test(name) && isUnknown(name)))) {
    const sweep = async (lock: { discard(): void }) => {
      if (!isUnknown(id)) return
      await (await context.storage()).unmount(id, { remove: true })
      rmSync(paths.bundle(id), { recursive: true, force: true })
      lock.discard()
    }
    await tolerated(() => locks.withLock({ kind: 'container', id }, sweep, { timeoutMs: 0 }))
  }
}
