import { startTimer } from './timer.ts'

/** Waits `ms`, or rejects with the signal's reason at once. The timer keeps the process alive. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      timer.stop()
      reject(signal?.reason)
    }
    const timer = startTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** A wait that grows from `first` to `last` milliseconds, with jitter so that rivals do not march in step. */
export function backOff(attempt: number, first: number, last: number): number {
  return Math.min(last, first * 1.6 ** attempt) * (0.5 + Math.random() / 2)
}
