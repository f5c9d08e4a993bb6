import { type FSWatcher, watch } from 'node:fs'
import type { PodlibError } from '../errors/errors.ts'
import { errorMessage } from '../errors/errors.ts'
import { type Hook, invalid } from './hook.ts'
import { type ReadHooksOptions, readHooks } from './read.ts'

/** Editors write, rename and delete within moments: one reading covers them all. */
const SETTLE_MS = 20

/** The hooks of some directories, kept current. */
export interface HookMonitor {
  /** What the last complete reading found. */
  hooks(): readonly Hook[]
  /** What the last complete reading had to leave out. */
  problems(): readonly PodlibError[]
  /** Resolves when a change that has already happened on disk is in {@link hooks}. */
  settled(): Promise<void>
  /** Stops watching. The last hooks stay readable. */
  close(): void
}

/**
 * Reads hook directories and goes on watching them until `close` or `signal`. Every change reads all directories anew,
 * so that removing a file brings back the one that it replaced. Nothing here keeps the process alive.
 *
 * @throws ERR_HOOK_INVALID for a directory that cannot be watched, a missing one included.
 */
export async function watchHooks(options: ReadHooksOptions): Promise<HookMonitor> {
  options.signal?.throwIfAborted()
  const watchers: FSWatcher[] = []
  let closed = false
  let stale = false
  let snapshot: Awaited<ReturnType<typeof readHooks>> = { hooks: [], problems: [] }
  let reading: Promise<void> | undefined

  const close = () => {
    closed = true
    for (const watcher of watchers) watcher.close()
    options.signal?.removeEventListener('abort', close)
  }
  const readUntilFresh = async () => {
    while (stale && !closed) {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
      stale = false
      const { signal: _, ...rest } = options
      const fresh = await readHooks(rest)
      if (!closed) snapshot = fresh
    }
    reading = undefined
  }
  const refresh = () => {
    stale = true
    if (!closed) reading ??= readUntilFresh()
    return reading ?? Promise.resolve()
  }

  try {
    for (const directory of options.directories) watchers.push(watchDirectory(directory, refresh))
  } catch (error) {
    close()
    throw error
  }
  options.signal?.addEventListener('abort', close, { once: true })
  snapshot = await readHooks(options).catch((error: unknown) => {
    close()
    throw error
  })
  return { hooks: () => snapshot.hooks, problems: () => snapshot.problems, settled: refresh, close }
}

function watchDirectory(directory: string, onChange: () => void): FSWatcher {
  try {
    const watcher = watch(directory, { persistent: false }, onChange)
    // The directory itself may go away; what was read before stays until something else changes.
    watcher.on('error', onChange)
    return watcher
  } catch (cause) {
    throw invalid(directory, `the directory cannot be watched: ${errorMessage(cause)}`, cause)
  }
}
