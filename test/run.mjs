// What `npm test` runs: all suites, with coverage, between two looks at the machine.
//
//   node test/run.mjs [PATTERN...]     only the test files whose path contains one of the patterns
//
// Unit tests run in parallel; what uses the host (integration, hostile, fault) one file after the other. The run fails
// when a test fails, when something is left behind on the machine, and, with CI=true, when a test was skipped for
// any other reason than an ability that this machine really lacks. With CI=true whatever is new counts as left behind;
// with PODLIB_TEST_SHARED=1, where others test podlib on the same machine, only what bears the marks of this run.
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingAbilities } from './helpers/abilities.ts'
import { cleanUp, removeTemporaryFiles } from './runner/clean-up.ts'
import { belowFloor, coverageTable, mergeCoverage } from './runner/coverage.ts'
import { leftBehind, readMachine } from './runner/machine.ts'
import { runJest } from './runner/run-jest.ts'

const HOST_SUITES = '/test/(integration|hostile|fault)/'
const OTHER_SUITES = '/test/(unit|contract)/'
const NEVER = ['/node_modules/', '/dist/', '/temp/']
const SETTLE_MS = 8_000
/** Percent of lines; what only runs in worker processes is not counted. */
const FLOORS = {
  'src/': 85,
  'src/spec/': 95,
  'src/errors/': 95,
  'src/util/': 95,
  'src/lifecycle/': 93,
  'src/archive/': 95,
  'src/trust/': 95,
}

const patterns = process.argv.slice(2)
const isCi = process.env.CI === 'true'
const company = isCi ? 'alone' : process.env.PODLIB_TEST_SHARED === '1' ? 'testers' : 'strangers'
const run = { environmentMark: `PODLIB_TEST_RUN=${randomBytes(8).toString('hex')}`, directory: mkdtempSync('/tmp/podlib-') }
// Root of a user namespace that a test makes has to get through to what lies in it.
chmodSync(run.directory, 0o711)

/** Processes that were told to end may need a moment. */
async function findLeftovers(before) {
  const deadline = Date.now() + SETTLE_MS
  while (true) {
    const left = leftBehind(before, readMachine(run), run, company)
    if (left.length === 0 || Date.now() > deadline) return left
    await sleep(200)
  }
}

function jest(name, ignored, args, timeoutMs) {
  const output = `coverage/${name}`
  mkdirSync(output, { recursive: true })
  const [variable, value] = run.environmentMark.split('=')
  const ignore = [...NEVER, ignored].flatMap((pattern) => ['--testPathIgnorePatterns', pattern])
  return runJest({
    name,
    output,
    timeoutMs,
    args: [...ignore, '--coverage', '--passWithNoTests', '--cacheDirectory', 'node_modules/.cache/jest', ...args, ...patterns],
    environment: { TMPDIR: run.directory, [variable]: value },
  })
}

/** A skipped test says in its name what it needs: `... [needs root]`. That is a reason only where it is true. */
function skippedWithoutReason(skipped) {
  const missing = missingAbilities()
  return skipped.filter((name) => {
    const needs = /\[needs ([^\]]+)\]/.exec(name)?.[1]?.split(', ') ?? []
    return !needs.some((need) => missing.includes(need))
  })
}

function report(title, items) {
  if (items.length > 0) console.error(`\n${title}\n${items.map((item) => `  ${item}`).join('\n')}`)
  return items.length
}

rmSync('coverage', { recursive: true, force: true })
const before = readMachine(run)
const unit = await jest('unit', HOST_SUITES, [], 600_000)
const host = await jest('host', OTHER_SUITES, ['--runInBand'], 1_500_000)
const skipped = [...unit.skipped, ...host.skipped]

const map = mergeCoverage(['coverage/unit', 'coverage/host'], 'coverage')
console.log(`\n${coverageTable(map)}`)
const left = await findLeftovers(before)
const files = readdirSync(run.directory)
let problems = report(
  'Left behind on the machine:',
  left.map(({ kind, label }) => `${kind}: ${label}`),
)
problems += report('Left behind in the directory of temporary files:', files)
problems += report('Tested too little:', patterns.length > 0 ? [] : belowFloor(map, FLOORS))
const unexplained = report('Skipped without a reason that holds here:', skippedWithoutReason(skipped))
if (isCi) problems += unexplained
cleanUp(left, run)
removeTemporaryFiles(run.directory)

const passed = unit.passed + host.passed
const failed = unit.failed + host.failed + problems
console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
