/** What a test program puts on the global object to hear of every named step before anything of podlib is imported. */
const LISTENER = Symbol.for('podlib.crash-point')

/**
 * A named step between two changes of a store. Does nothing, at the cost of one look at the global object, unless a test
 * listens there: it then kills its own process at the step, and the next open has to cope with what is left.
 */
export function crashPoint(name: string): void {
  ;(globalThis as { [LISTENER]?: (name: string) => void })[LISTENER]?.(name)
}
