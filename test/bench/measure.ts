import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchCase, Contest, Contestant } from './bench-case.ts'

/** Medians of one side. */
export interface Figures {
  readonly name: string
  readonly value: number
  /** CPU time of the whole machine while it was measured, in milliseconds. */
  readonly cpuMs: number
}

export interface Measurement {
  readonly benchCase: BenchCase
  readonly podlib: Figures
  readonly peer: Figures | undefined
  readonly others: readonly Figures[]
  /** How many times faster (or smaller) podlib is than the peer. */
  readonly ratio: number | undefined
}

interface Series {
  readonly name: string
  readonly contestant: Contestant
  readonly values: number[]
  readonly cpu: number[]
}

/** Closing of files and reaping of processes of the one side must not fall into the time of the other. */
const GAP_MS = 10
/** Longer than podlib keeps the kernel ready: see src/host/cgroup-haste.ts. */
const PAUSE_MS = 400

/** Measures the sides of a case in turn, A B A B, after one turn that does not count. */
export async function measure(benchCase: BenchCase, contest: Contest): Promise<Measurement> {
  const others = [...(contest.peer ? [contest.peer] : []), ...(contest.others ?? [])]
  const sides = [['podlib', contest.podlib] as const, ...others.map((side) => [side.name, side] as const)]
  const series = sides.map(([name, contestant]): Series => ({ name, contestant, values: [], cpu: [] }))
  if (benchCase.rounds > 2) for (const { contestant } of series) await turn(benchCase, contestant)
  for (let round = 0; round < benchCase.rounds; round++) {
    for (const { contestant, values, cpu } of series) {
      if (benchCase.inSeries) {
        await sleep(PAUSE_MS)
        await turn(benchCase, contestant)
      }
      const result = await turn(benchCase, contestant)
      values.push(result.value)
      cpu.push(result.cpuMs)
    }
  }
  const [podlib, ...rest] = series.map(figures) as [Figures, ...Figures[]]
  const peer = contest.peer ? rest.shift() : undefined
  return { benchCase, podlib, peer, others: rest, ratio: peer ? peer.value / podlib.value : undefined }
}

async function turn(benchCase: BenchCase, contestant: Contestant): Promise<{ value: number; cpuMs: number }> {
  await contestant.before?.()
  await sleep(GAP_MS)
  const cpuBefore = machineCpuMs()
  const begin = performance.now()
  const own = await contestant.measure()
  const wallMs = performance.now() - begin
  const cpuMs = machineCpuMs() - cpuBefore
  await contestant.after?.()
  return { value: own ?? (benchCase.unit === 's' ? wallMs / 1000 : wallMs), cpuMs }
}

function figures({ name, values, cpu }: Series): Figures {
  return { name, value: median(values), cpuMs: median(cpu) }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/**
 * CPU time that the machine has spent so far. A container's processes, its monitor, daemons and workers are in cgroups and
 * process trees of their own: only the sum over the machine has them all. So nothing else should be running.
 */
export function machineCpuMs(): number {
  try {
    return Number(readFileSync('/sys/fs/cgroup/cpuacct/cpuacct.usage', 'utf8')) / 1e6
  } catch {
    const usage = /^usage_usec (\d+)/m.exec(readFileSync('/sys/fs/cgroup/cpu.stat', 'utf8'))
    return Number(usage?.[1] ?? Number.NaN) / 1000
  }
}
