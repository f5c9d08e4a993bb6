/**
 * A long piece of work: a promise of its result that is also an async iterable of its progress. It
 * starts at once; iterating is optional, and so is awaiting.
 *
 * @example
 * ```ts
 * const image = await runtime.images.pull('alpine:3.20')
 * for await (const progress of runtime.images.pull('alpine:3.20')) draw(progress)
 * ```
 * @public
 */
export interface Operation<Result, Progress> extends Promise<Result>, AsyncIterable<Progress> {}

/**
 * Starts `work` and gives it a function to report with. Reports that nobody has read yet are coalesced:
 * a report with the same `key` replaces the earlier one, so a slow reader costs no memory.
 */
export function startOperation<Result, Progress>(
  work: (report: (progress: Progress) => void) => Promise<Result>,
  key: (progress: Progress) => string,
): Operation<Result, Progress> {
  const pending = new Map<string, Progress>()
  let settled = false
  let wake: (() => void) | undefined
  const rouse = () => {
    wake?.()
    wake = undefined
  }
  const report = (progress: Progress) => {
    pending.delete(key(progress))
    pending.set(key(progress), progress)
    rouse()
  }
  const result = work(report).finally(() => {
    settled = true
    rouse()
  })
  async function* progress(): AsyncGenerator<Progress> {
    while (true) {
      for (const [name, value] of pending) {
        pending.delete(name)
        yield value
      }
      if (pending.size > 0) continue
      if (settled) break
      await new Promise<void>((resolve) => (wake = resolve))
    }
    await result
  }
  // A caller who only iterates meets the failure at the end of the loop: no unhandled rejection then.
  result.catch(() => {})
  return Object.assign(result, { [Symbol.asyncIterator]: progress })
}

/** The same operation with another result. */
export function mapOperation<From, To, Progress>(operation: Operation<From, Progress>, map: (result: From) => To): Operation<To, Progress> {
  const mapped = operation.then(map)
  mapped.catch(() => {})
  return Object.assign(mapped, { [Symbol.asyncIterator]: () => operation[Symbol.asyncIterator]() })
}

/**
 * An operation whose code is loaded when it is begun: a program that never pulls loads nothing of what pulling takes.
 *
 * @param load - Gives the function that begins it. (Not the operation itself: a promise of a promise is that of its result.)
 */
export function lazyOperation<Result, Progress>(
  load: () => Promise<() => Operation<Result, Progress>>,
  key: (progress: Progress) => string,
): Operation<Result, Progress> {
  return startOperation<Result, Progress>(async (report) => {
    const begin = await load()
    const operation = begin()
    for await (const progress of operation) report(progress)
    return operation
  }, key)
}
