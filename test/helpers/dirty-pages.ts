import { closeSync, openSync } from 'node:fs'
import koffi from 'koffi'

const CACHESTAT = 451
const syscall: (number: number, fd: number, range: BigUint64Array, counts: BigUint64Array, flags: number) => number = koffi
  .load(null)
  .func('long syscall(long number, int fd, void *range, void *counts, uint flags)')

/** How many pages of a file are in memory only, or on their way to the disk. @see cachestat(2), since Linux 6.5 */
export function dirtyPages(path: string): number {
  const fd = openSync(path, 'r')
  try {
    const counts = new BigUint64Array(5)
    if (syscall(CACHESTAT, fd, new BigUint64Array(2), counts, 0) < 0) throw new Error(`cachestat of ${path} failed: errno ${koffi.errno()}`)
    const [, dirty = 0n, writeback = 0n] = counts
    return Number(dirty + writeback)
  } finally {
    closeSync(fd)
  }
}
