// What `npm test` runs: all suites, with coverage, between two looks at the machine.
//
//   node test/run.mjs [PATTERN...]     only the test files whose path contains one of the patterns
//
// Files run in parallel, each with directories of its own: first the unit tests, then what uses the host (integration,
// hostile, fault), which waits for other programs and therefore has a process more than there are processors. The run fails
// when a test fails, when something is left behind on the machine, and, with CI=true, when a test was skipped for
// any other reason than an ability that this machine really lacks. With CI=true whatever is new counts as left behind;
// with PODLIB_TEST_SHARED=1, where others test podlib on the same machine, only what bears the marks of this run.
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingAbilities } from './helpers/abilities.ts'
import { debianTar } from './helpers/debian-tar.ts'
import { cleanUp, removeTemporaryFiles } from './runner/clean-up.ts'
import { belowFloor, coverageTable, mergeCoverage } from './runner/coverage.ts'
import { leftBehind, readMachine } from './runner/machine.ts'
import { runJest } from './runner/run-jest.ts'

const HOST_SUITES = '/test/(integration|hostile|fault)/'
const OTHER_SUITES = '/test/(unit|contract)/'
const NEVER = ['/node_modules/', '/dist/', '/temp/']
/** Sources that no test loads count as well; that the first of the two runs says so is enough. */
const ALL_SOURCES = ['src/**/*.ts', '!src/**/*.d.ts', '!src/programs/**'].flatMap((glob) => ['--collectCoverageFrom', glob])
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
const madeOnce = join(run.directory, 'once')
mkdirSync(madeOnce, { mode: 0o700 })
process.env.PODLIB_TEST_MADE_ONCE = madeOnce

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
    // Programs of the tests, and above all host workers, start from sources: what Node compiles is kept for the next ones.
    environment: {
      TMPDIR: run.directory,
      NODE_COMPILE_CACHE: resolve('node_modules/.cache/node'),
      [variable]: value,
    },
  })
}

const workers = (count) => ['--maxWorkers', String(count)]

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
// Packages of Debian come over the network: meanwhile the unit tests run. A test that needs them waits, or tries once more.
if (patterns.length === 0 && !missingAbilities().includes('mmdebstrap')) debianTar().catch(() => {})
const processors = availableParallelism()
const unit = await jest('unit', HOST_SUITES, [...workers(processors), ...ALL_SOURCES], 600_000)
const host = await jest('host', OTHER_SUITES, workers(processors + 1), 1_500_000)
rmSync(madeOnce, { recursive: true, force: true })
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
