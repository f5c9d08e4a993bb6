import { readdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { outputOf } from '../helpers/programs.ts'
import type { BenchCase } from './bench-case.ts'
import { drawChart } from './chart.ts'
import { BenchEnvironment } from './environment.ts'
import { type Measurement, measure } from './measure.ts'
import { reachesGoal, tableHead, tableLine, toResult } from './report.ts'

const CHART = 'test/bench/results.svg'
/** The order in which a reader wants them. */
const ORDER = ['run-', 'exec', 'create', 'start', 'stop', 'remove', 'list-', 'inspect-', 'open-', 'pull-', 'stall-']

async function loadCases(wanted: readonly string[]): Promise<BenchCase[]> {
  const files = readdirSync(new URL('cases/', import.meta.url)).filter((name) => name.endsWith('.ts'))
  const modules = await Promise.all(files.map((name) => import(new URL(`cases/${name}`, import.meta.url).href)))
  const cases = modules.map((module: { benchCase: BenchCase }) => module.benchCase)
  const unknown = wanted.filter((name) => !cases.some((one) => one.name === name))
  if (unknown.length > 0) throw new Error(`no such case: ${unknown.join(', ')}; there are ${cases.map(({ name }) => name).join(' ')}`)
  const place = ({ name }: BenchCase) => ORDER.findIndex((prefix) => name.startsWith(prefix))
  return cases.filter(({ name }) => wanted.length === 0 || wanted.includes(name)).sort((a, b) => place(a) - place(b))
}

/** What the figures depend on. */
async function describeMachine(): Promise<string> {
  const first = async (program: string, ...args: string[]) => (await outputOf(program, args)).split('\n')[0]?.trim()
  const versions = await Promise.all([
    first('podman', '--version'),
    first('crun', '--version'),
    first('runc', '--version'),
    first('conmon', '--version'),
    first('docker-registry', '--version'),
  ])
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.version}`
  return [machine, ...versions].join('; ')
}

async function runCase(benchCase: BenchCase, environment: BenchEnvironment): Promise<Measurement> {
  const contest = await benchCase.prepare(environment)
  try {
    return await measure(benchCase, contest)
  } finally {
    await contest[Symbol.asyncDispose]?.()
  }
}

const { values: options } = parseArgs({
  options: {
    case: { type: 'string', multiple: true, default: [] },
    json: { type: 'string' },
    svg: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
})
const cases = await loadCases(options.case)
if (options.list) {
  for (const { name, title } of cases) console.log(`${name.padEnd(16)} ${title}`)
  process.exit()
}
const machine = await describeMachine()
console.log(`${machine}\n\n${tableHead()}`)
const measurements: Measurement[] = []
const failed: string[] = []
await using environment = await BenchEnvironment.open((text) => console.error(`bench: ${text}`))
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => environment[Symbol.asyncDispose]().then(() => process.exit(128 + number)))
}
for (const benchCase of cases) {
  try {
    const measurement = await runCase(benchCase, environment)
    measurements.push(measurement)
    console.log(tableLine(measurement))
  } catch (error) {
    failed.push(benchCase.name)
    console.error(`bench: ${benchCase.name} failed: ${(error as Error).stack}`)
  }
}
const results = measurements.map(toResult)
if (options.json) writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`)
if (options.svg) writeFileSync(CHART, drawChart(results, machine))
console.log(`\n${measurements.filter(reachesGoal).length} of ${cases.length} cases reach their goal`)
if (failed.length > 0) process.exitCode = 1
