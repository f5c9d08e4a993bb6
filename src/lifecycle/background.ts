import type { BackgroundWork } from './context.ts'

/** A {@link BackgroundWork} that forgets what has settled. Whoever wants to know of a failure has the promise. */
export function createBackground(): BackgroundWork {
  const running = new Set<Promise<unknown>>()
  return {
    add(work) {
      // Nobody waits for the promise made here: its rejection would end the application.
      const settled = work.catch(() => {})
      running.add(settled)
      void settled.then(() => running.delete(settled))
    },
    async settled() {
      while (running.size > 0) await Promise.allSettled(running)
    },
  }
}
