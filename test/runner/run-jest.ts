import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface JestRun {
  readonly name: string
  /** Arguments beside those that every run has. */
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** Where the report and the coverage go. */
  readonly output: string
  readonly timeoutMs: number
}

export interface JestOutcome {
  readonly passed: number
  readonly failed: number
  /** Full names of the tests that did not run. */
  readonly skipped: readonly string[]
}

interface JestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numRuntimeErrorTestSuites: number
  readonly testResults: readonly { readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[] }[]
}

const SKIPPED = new Set(['pending', 'skipped', 'todo', 'disabled'])

/** Runs jest in a process of its own. A run without a report (killed, out of time) is one failure. */
export async function runJest(run: JestRun): Promise<JestOutcome> {
  const report = join(run.output, 'report.json')
  const args = [
    '--config',
    '.jest.config.mjs',
    '--json',
    '--outputFile',
    report,
    '--coverageDirectory',
    run.output,
    '--coverageReporters',
    'json',
  ]
  const flags = ['--experimental-vm-modules', '--no-warnings']
  const ended = await runNode([...flags, 'node_modules/jest/bin/jest.js', ...args, ...run.args], run)
  if (ended !== 'exited') console.error(`${run.name}: jest ${ended}`)
  const outcome = readReport(report)
  if (outcome === undefined) return { passed: 0, failed: 1, skipped: [] }
  return ended === 'exited' ? outcome : { ...outcome, failed: outcome.failed + 1 }
}

function runNode(args: readonly string[], run: JestRun): Promise<string> {
  return new Promise((resolve, reject) => {
    // Standard output would be the JSON report once more.
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...run.environment } })
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, run.timeoutMs)
    child.once('error', reject)
    child.once('exit', (_code, signal) => {
      clearTimeout(timer)
      if (timedOut) resolve(`was not done after ${run.timeoutMs / 1000} s`)
      else resolve(signal ? `was killed by ${signal}` : 'exited')
    })
  })
}

function readReport(path: string): JestOutcome | undefined {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8')) as JestReport
    const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults)
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
      skipped: tests.filter(({ status }) => SKIPPED.has(status)).map(({ fullName }) => fullName),
    }
  } catch {
    return undefined
  }
}
