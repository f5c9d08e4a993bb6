import { statSync } from 'node:fs'

/** What takes longest comes first, so that at the end no worker waits for another; the others by their size. */
const LONG = ['fault/crash', 'integration/transports', 'integration/tree-parity', 'hostile/pull', 'integration/interop']

/** The order in which jest begins test files. Its own goes by the times of the last run, which a fresh clone has not. */
export default class LongestFirst {
  sort(tests) {
    const weight = ({ path }) => {
      const rank = LONG.findIndex((name) => path.endsWith(`/test/${name}.test.ts`))
      return rank < 0 ? statSync(path).size : Number.MAX_SAFE_INTEGER - rank
    }
    return [...tests].sort((one, other) => weight(other) - weight(one))
  }

  shard(tests) {
    return tests
  }

  allFailedTests(tests) {
    return tests
  }

  cacheResults() {}
}
