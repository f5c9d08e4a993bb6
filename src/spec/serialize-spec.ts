import type { RuntimeSpec, SpecProcess } from './runtime.ts'

/**
 * An unlimited rlimit is 2^64-1, which no JavaScript number holds. Its double is 2^64; {@link serializeSpec} writes the exact
 * digits, and `JSON.parse` of those digits gives this number again.
 */
export const RLIM_INFINITY = 2 ** 64

const MARK = '\u0001RLIM_INFINITY\u0001'

/**
 * The text of a `config.json` or of an exec's process file. `JSON.stringify` would round the unlimited rlimit (2^64-1)
 * up to a number that OCI runtimes refuse as too large.
 */
export function serializeSpec(spec: RuntimeSpec | SpecProcess): string {
  const text = JSON.stringify(spec, (_key, value: unknown) => (value === RLIM_INFINITY ? MARK : value))
  return text.replaceAll(JSON.stringify(MARK), '18446744073709551615')
}
