// Makes a fresh machine ready and then becomes the wanted program:
//
//   node .ci/setup.mjs <quickstart|test|bench> [PROGRAM [ARGUMENT...]]
//
// It runs on Node 18 and later without any package, says what is missing and why, installs it when it may
// (root, or sudo without a password), installs the packages of npm, and starts PROGRAM with the Node
// of node_modules. Everything it says goes to standard error.
import { spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mountMissingCgroups } from './setup-cgroups.mjs'
import { NEEDS } from './setup-needs.mjs'
import { installNodeModules, projectNode } from './setup-npm.mjs'
import { findPackageManager, isPresent, SEARCH_PATH } from './setup-packages.mjs'

const PURPOSES = ['quickstart', 'test', 'bench']

const say = (text) => process.stderr.write(`setup: ${text}\n`)

function fail(text) {
  say(text)
  process.exit(1)
}

/** Without a public registry an image is made here and served from here; with one nothing of that is needed. */
async function publicRegistryAnswers() {
  try {
    const { status } = await fetch('https://registry-1.docker.io/v2/', { signal: AbortSignal.timeout(3000) })
    return status === 200 || status === 401
  } catch {
    return false
  }
}

async function missingNeeds(purpose) {
  const missing = NEEDS.filter((need) => need.for.includes(purpose) && !isPresent(need.find))
  const local = missing.filter((need) => need.onlyWithoutRegistry)
  if (purpose !== 'quickstart' || local.length === 0 || !(await publicRegistryAnswers())) return missing
  return missing.filter((need) => !need.onlyWithoutRegistry)
}

async function installPrograms(purpose) {
  const missing = await missingNeeds(purpose)
  if (missing.length === 0) return
  say(`missing for '${purpose}':`)
  for (const need of missing) say(`  ${need.find.split('|')[0].padEnd(18)} ${need.why}`)
  const manager = findPackageManager()
  if (manager === undefined) fail('none of apt-get, dnf and apk is here: install the above by hand and run this again')
  const packages = [...new Set(missing.map((need) => need[manager.name]).filter(Boolean))]
  const unknown = missing.filter((need) => !need[manager.name])
  for (const need of unknown) say(`no package of ${manager.program} is known for ${need.find}; what needs it is skipped`)
  if (packages.length === 0) return
  if (!manager.mayInstall) fail(`run as root:  ${manager.program} ${manager.installArguments.join(' ')} ${packages.join(' ')}`)
  say(`installing with ${manager.program}: ${packages.join(' ')}`)
  const refused = manager.install(packages, say)
  if (refused !== undefined) fail(refused)
  const still = missing.filter((need) => need[manager.name] && !isPresent(need.find))
  if (still.length > 0) fail(`still missing after the installation: ${still.map((need) => need.find).join(', ')}`)
}

function become(node, program, args) {
  const env = { ...process.env, PATH: `${dirname(node)}:${SEARCH_PATH.join(':')}` }
  const { status, signal, error } = spawnSync(node, [program, ...args], { stdio: 'inherit', env })
  if (error) fail(`cannot start ${program}: ${error.message}`)
  process.exit(signal ? 128 + constants.signals[signal] : status)
}

const [purpose, program, ...args] = process.argv.slice(2)
if (!PURPOSES.includes(purpose)) fail(`usage: node .ci/setup.mjs <${PURPOSES.join('|')}> [PROGRAM [ARGUMENT...]]`)
process.chdir(dirname(dirname(fileURLToPath(import.meta.url))))
// A Ctrl-C reaches the program too, which ends in its own way; this process waits for it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})

await installPrograms(purpose)
const problem = installNodeModules(say)
if (problem !== undefined) fail(problem)
mountMissingCgroups(say)
if (program !== undefined) become(projectNode() ?? fail('no Node of version 22.19 or later is here'), program, args)
