/**
 * Runs `work` on every item, at most `limit` at a time, in order. The first failure aborts the rest; the promise rejects
 * with it once all have settled, so nothing goes on behind the caller's back.
 */
export async function runBounded<Item>(
  items: readonly Item[],
  limit: number,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const failure = new AbortController()
  const either = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) {
      either.throwIfAborted()
      await work(item, either)
    }
  }
  const workers = Array.from({ length: Math.min(limit, items.length) }, () =>
    worker().catch((error: unknown) => {
      if (!failure.signal.aborted) failure.abort(error)
    }),
  )
  await Promise.all(workers)
  signal?.throwIfAborted()
  failure.signal.throwIfAborted()
}
