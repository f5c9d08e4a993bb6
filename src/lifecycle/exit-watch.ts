import { PodlibError } from '../errors/errors.ts'
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
   * An abort rejects with the signal's reason, {@link ExitWatch.close} with ERR_RUNTIME_CLOSED.
   */
  ended(container: WatchedContainer, signal?: AbortSignal): Promise<void>
  /** Begins to watch, if it has not yet: before the first process is started. */
  start(): Promise<void>
  close(): void
}

export type WatchedContainer = Pick<ContainerRow, 'id' | 'pid' | 'pidStartTime' | 'attached' | 'ownerPid' | 'ownerStartTime'>

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
  const closing = new AbortController()

  async function watch(): Promise<void> {
    const end = (await monitor()).watchExits((containerId) => {
      for (const wake of waiting.get(containerId) ?? []) wake()
      onExit(containerId)
    })
    if (closing.signal.aborted) end()
    else stop = end
  }

  function start(): Promise<void> {
    if (starting === undefined) {
      const begun = watch()
      starting = begun
      // What was missing (conmon) may be there next time.
      begun.catch(() => {
        if (starting === begun) starting = undefined
      })
    }
    return starting
  }

  return {
    start,

    async ended(container, signal) {
      await start()
      const record = (await monitor()).exitRecord(container.id)
      if (closing.signal.aborted) throw closing.signal.reason
      if (record !== undefined) return
      const either = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal
      await new Promise<void>((resolve, reject) => {
        const wakers = waiting.get(container.id) ?? new Set()
        waiting.set(container.id, wakers)
        const finish = (settle: () => void) => () => {
          clearInterval(poll)
          either.removeEventListener('abort', abort)
          wakers.delete(wake)
          if (wakers.size === 0 && waiting.get(container.id) === wakers) waiting.delete(container.id)
          settle()
        }
        const wake = finish(resolve)
        const abort = finish(() => reject(either.reason))
        const look = () => {
          try {
            if (isGone(db, container)) wake()
          } catch (error) {
            // In a timer nobody could catch it.
            finish(() => reject(error))()
          }
        }
        const poll = setInterval(look, POLL_MS)
        wakers.add(wake)
        either.addEventListener('abort', abort, { once: true })
        if (either.aborted) abort()
      })
    },

    close() {
      closing.abort(new PodlibError('ERR_RUNTIME_CLOSED', 'the runtime was closed while a container was waited for; the container runs on'))
      stop?.()
    },
  }
}

function isGone(db: Database, container: WatchedContainer): boolean {
  const { id, attached, pid, pidStartTime, ownerPid, ownerStartTime } = container
  if (!attached) return pid !== null && !isSameProcess(pid, pidStartTime ?? 0)
  return hasEnded(db, id) || (ownerPid !== null && !isSameProcess(ownerPid, ownerStartTime ?? 0))
}

/** A container without a monitor ends when the verb that runs it says so, in its row. */
function hasEnded(db: Database, id: string): boolean {
  const row = getContainer(db, id)
  return row === undefined || !expectsProcess(row.status)
}
