import type { BackgroundWork } from './context.ts'

/** A {@link BackgroundWork} that forgets what has settled. */
export function createBackground(): BackgroundWork {
  const running = new Set<Promise<unknown>>()
  return {
    add(work) {
      const tracked = work.finally(() => running.delete(tracked))
      running.add(tracked)
    },
    async settled() {
      while (running.size > 0) await Promise.allSettled(running)
    },
  }
}
