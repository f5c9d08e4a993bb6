import type { BenchEnvironment } from './environment.ts'

/**
 * One figure of podlib, if possible beside that of a peer.
 *
 * Times are taken by the harness around `measure`; a case with another unit returns its figure itself.
 */
export interface BenchCase {
  readonly name: string
  /** What is measured, as a heading. */
  readonly title: string
  readonly unit: 'ms' | 's' | 'MB' | 'times'
  readonly goal: BenchGoal
  readonly rounds: number
  /**
   * Each side as it is when it is used alone, again and again: after a pause a turn that does not count, then the one that does.
   * Who starts containers leaves the kernel ready to start more, for a moment, and that must be to nobody else's good.
   */
  readonly inSeries?: boolean
  prepare(environment: BenchEnvironment): Promise<Contest>
}

/** How many times faster than the peer podlib must be, or how big its own figure may be. */
export type BenchGoal = { readonly timesFaster: number } | { readonly atMost: number }

/** The two sides of a case, ready to be measured in turn. */
export interface Contest extends Partial<AsyncDisposable> {
  readonly podlib: Contestant
  readonly peer?: Contestant & { readonly name: string }
  /** Further figures for the reader, measured in the same rounds: the OCI runtime alone, for example. */
  readonly others?: readonly (Contestant & { readonly name: string })[]
}

export interface Contestant {
  /** Not measured: makes what `measure` needs anew. */
  before?(): Promise<void>
  /** Nothing, when it is the time of the call that counts; else the figure in the unit of the case. */
  measure(): Promise<number | undefined>
  /** Not measured. */
  after?(): Promise<void>
}

/** A contestant that is timed. */
export function timed(work: () => Promise<unknown>, around: Pick<Contestant, 'before' | 'after'> = {}): Contestant {
  return {
    ...around,
    async measure() {
      await work()
      return undefined
    },
  }
}
