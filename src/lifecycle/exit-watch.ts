import { isSameProcess } from '../host/proc.ts'
import type { Monitor } from '../monitor/monitor.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { getContainer } from '../state/container-table.ts'
import type { Database } from '../state/database.ts'
import { expectsProcess } from './reconcile.ts'

/** Tells when containers end. */
export interface ExitWatch {
  /**
   * Resolves when the container's process has ended. Also when it left no record because its monitor was killed.
   * An abort rejects with the signal's reason.
   */
  ended(container: WatchedContainer, signal?: AbortSignal): Promise<void>
  /** Begins to watch, if it has not yet: before the first process is started. */
  start(): Promise<void>
  close(): void
}

export type WatchedContainer = Pick<ContainerRow, 'id' | 'pid' | 'pidStartTime' | 'attached'>

/** How often a container is looked at that leaves no record: its monitor was killed, or it never had one. */
const POLL_MS = 100

export interface ExitWatchOptions {
  readonly db: Database
  readonly monitor: () => Promise<Monitor>
  /** Called with the id of every container that leaves an exit record while watching. */
  readonly onExit: (containerId: string) => void
}

/** One directory watch for all containers; nothing of it keeps the application's event loop alive unless somebody waits. */
export function createExitWatch({ db, monitor, onExit }: ExitWatchOptions): ExitWatch {
  const waiting = new Map<string, Set<() => void>>()
  let stop: (() => void) | undefined
  let starting: Promise<void> | undefined
  let closed = false

  async function watch(): Promise<void> {
    const end = (await monitor()).watchExits((containerId) => {
      for (const wake of waiting.get(containerId) ?? []) wake()
      onExit(containerId)
    })
    if (closed) end()
    else stop = end
  }

  return {
    async start() {
      starting ??= watch()
      await starting
    },

    async ended(container, signal) {
      starting ??= watch()
      await starting
      const hasRecord = async () => (await monitor()).exitRecord(container.id) !== undefined
      const isGone = () =>
        container.attached
          ? hasEnded(db, container.id)
          : container.pid !== null && !isSameProcess(container.pid, container.pidStartTime ?? 0)
      await new Promise<void>((resolve, reject) => {
        const wakers = waiting.get(container.id) ?? new Set()
        waiting.set(container.id, wakers)
        const finish = (settle: () => void) => () => {
          clearInterval(poll)
          signal?.removeEventListener('abort', abort)
          wakers.delete(wake)
          if (wakers.size === 0) waiting.delete(container.id)
          settle()
        }
        const wake = finish(resolve)
        const abort = finish(() => reject(signal?.reason))
        const poll = setInterval(() => isGone() && wake(), POLL_MS)
        wakers.add(wake)
        signal?.addEventListener('abort', abort, { once: true })
        if (signal?.aborted) abort()
        void hasRecord().then((found) => found && wake())
      })
    },

    close() {
      closed = true
      stop?.()
    },
  }
}

/** A container without a monitor ends when the verb that runs it says so, in its row. */
function hasEnded(db: Database, id: string): boolean {
  const row = getContainer(db, id)
  return row === undefined || !expectsProcess(row.status)
}
