/** What setTimeout takes at most: above, it fires at once. */
const LONGEST_MS = 2 ** 31 - 1

export interface Timer {
  stop(): void
}

export interface TimerOptions {
  /** Whether it keeps the process alive. @defaultValue true */
  readonly ref?: boolean
}

/** Calls back after `ms`, however long that is. */
export function startTimer(ms: number, callback: () => void, { ref = true }: TimerOptions = {}): Timer {
  let rest = ms
  let timer: NodeJS.Timeout | undefined
  const arm = () => {
    const part = Math.min(rest, LONGEST_MS)
    rest -= part
    timer = setTimeout(rest > 0 ? arm : callback, part)
    if (!ref) timer.unref()
  }
  arm()
  return { stop: () => clearTimeout(timer) }
}

/** A signal that is aborted after `ms`, unless it is stopped before. */
export function timeLimit(ms: number): Timer & { readonly signal: AbortSignal } {
  const limit = new AbortController()
  return { ...startTimer(ms, () => limit.abort()), signal: limit.signal }
}
