// The package managers: what is there, and how to ask for more without a question.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const HOUR = 3_600_000
const LISTS_STALE_AFTER = 24 * HOUR
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Where programs are looked for: the caller's PATH, and the directories that a login of an ordinary user lacks. */
export const SEARCH_PATH = [...new Set([...(process.env.PATH ?? '').split(':').filter(Boolean), ...SYSTEM_PATH])]

/** Whether one of the alternatives (`a|b`) is there: absolute paths as they are, other names as programs. */
export function isPresent(alternatives) {
  return alternatives.split('|').some((name) => {
    const paths = name.startsWith('/') ? [name] : SEARCH_PATH.map((directory) => join(directory, name))
    return paths.some((path) => canAccess(path, name.startsWith('/') ? constants.F_OK : constants.X_OK))
  })
}

function canAccess(path, mode) {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

const MANAGERS = [
  { name: 'apt', program: 'apt-get', refresh: ['update', '-q'], installArguments: ['install', '-y', '-q', '--no-install-recommends'] },
  { name: 'dnf', program: 'dnf', refresh: undefined, installArguments: ['install', '-y', '--setopt=install_weak_deps=False'] },
  { name: 'apk', program: 'apk', refresh: undefined, installArguments: ['add', '--update-cache'] },
]

export function findPackageManager() {
  const found = MANAGERS.find(({ program }) => isPresent(program))
  if (found === undefined) return undefined
  const prefix = privilege()
  return { ...found, mayInstall: prefix !== undefined, install: (packages, say) => install(found, prefix, packages, say) }
}

/** What to put before a command to run it as root, or undefined when that needs a person. */
function privilege() {
  if (process.getuid() === 0) return []
  const sudo = ['sudo', '-n']
  return spawnSync('sudo', [...sudo.slice(1), 'true'], { stdio: 'ignore' }).status === 0 ? sudo : undefined
}

/** @returns what went wrong, if something did */
function install(manager, prefix, packages, say) {
  const run = (args) => {
    const [program, ...rest] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', manager.program, ...args]
    // Standard output belongs to the program that follows.
    return spawnSync(program, rest, { stdio: ['ignore', 2, 2], env: { ...process.env, PATH: SEARCH_PATH.join(':') } }).status === 0
  }
  const services = packages.includes('docker-registry') && isPresent('systemctl')
  if (manager.refresh && listsAreOld() && !run(manager.refresh)) return `${manager.program} ${manager.refresh.join(' ')} failed`
  const installed = () => run([...manager.installArguments, ...packages])
  // A list that is not old by the clock may still name versions that the mirror has replaced.
  if (!installed() && !(manager.refresh && run(manager.refresh) && installed()))
    return `${manager.program} could not install ${packages.join(' ')}`
  if (services) disableService('docker-registry', prefix, say)
  return undefined
}

function listsAreOld() {
  const lists = '/var/lib/apt/lists'
  try {
    if (!readdirSync(lists).some((name) => name.includes('_Packages'))) return true
    return Date.now() - statSync(lists).mtimeMs > LISTS_STALE_AFTER
  } catch {
    return true
  }
}

/** Only the program is wanted: a registry that answers on a port for good is not. */
function disableService(name, prefix, say) {
  const [program, ...rest] = [...prefix, 'systemctl', 'disable', '--now', name]
  if (spawnSync(program, rest, { stdio: 'ignore' }).status === 0) say(`the service ${name} that came with its package is disabled`)
}
