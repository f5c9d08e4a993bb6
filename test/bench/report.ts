import type { Figures, Measurement } from './measure.ts'

/** The machine-readable form of a measurement. */
export interface BenchResult {
  readonly case: string
  readonly unit: string
  readonly podlib: number
  readonly peer: { readonly name: string; readonly value: number } | null
  readonly ratio: number | null
}

export function toResult({ benchCase, podlib, peer, ratio }: Measurement): BenchResult {
  return {
    case: benchCase.name,
    unit: benchCase.unit,
    podlib: round(podlib.value),
    peer: peer ? { name: peer.name, value: round(peer.value) } : null,
    ratio: ratio === undefined ? null : round(ratio),
  }
}

/** Whether the goal of the case is reached. */
export function reachesGoal({ benchCase: { goal }, podlib, ratio }: Measurement): boolean {
  return 'timesFaster' in goal ? (ratio ?? 0) >= goal.timesFaster : podlib.value <= goal.atMost
}

const WIDTHS = [16, 10, 10, 24, 10, 8, 14] as const

export function tableHead(): string {
  return row(['case', 'podlib', 'CPU', 'peer', 'CPU', 'ratio', 'goal'])
}

/** The line of a case, and one more for each further figure. */
export function tableLine(measurement: Measurement): string {
  const { benchCase, podlib, peer, others, ratio } = measurement
  const amount = ({ value }: Figures) => `${round(value)} ${benchCase.unit}`
  const first = row([
    benchCase.name,
    amount(podlib),
    cpu(podlib),
    peer ? `${peer.name} ${amount(peer)}` : '-',
    peer ? cpu(peer) : '-',
    ratio === undefined ? '-' : `${round(ratio)}x`,
    `${goalText(measurement)} ${reachesGoal(measurement) ? 'yes' : 'NO'}`,
  ])
  const more = others.map((figures) =>
    row(['', '', '', `${figures.name} ${amount(figures)}`, cpu(figures), `${round(figures.value / podlib.value)}x`, '']),
  )
  return [first, ...more].join('\n')
}

function goalText({ benchCase: { goal, unit } }: Measurement): string {
  return 'timesFaster' in goal ? `>= ${goal.timesFaster}x` : `<= ${goal.atMost} ${unit}`
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0))
    .join(' ')
    .trimEnd()
}

const cpu = ({ cpuMs }: Figures) => (cpuMs >= 1000 ? `${round(cpuMs / 1000)} s` : `${round(cpuMs)} ms`)

/** Three figures are all that a benchmark knows. */
function round(value: number): number {
  return Number(value.toPrecision(3))
}
