import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const MIB = 1 << 20

/**
 * Makes this process as big as an application: `fork` copies the page tables, so what a process holds decides how
 * long each start of a program takes it.
 */
export class Ballast {
  #blocks: Buffer[] = []

  take(megabytes: number): void {
    this.#blocks = Array.from({ length: megabytes }, () => Buffer.alloc(MIB, 1))
  }

  get megabytes(): number {
    return this.#blocks.length
  }

  drop(): void {
    this.#blocks = []
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    collect()
  }
}
