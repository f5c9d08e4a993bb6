// The packages of npm, exactly as package-lock.json has them, and the Node among them.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { resolve } from 'node:path'

const NODE = 'node_modules/node/bin/node'
const LINK = 'node_modules/.bin/node'
const OLDEST_NODE = [22, 19]

/** @returns what went wrong, if something did */
export function installNodeModules(say) {
  const why = staleness()
  if (why === undefined) return undefined
  say(`installing the packages of npm: ${why}`)
  // Every binary that is needed comes inside a package; old versions of npm would compile better-sqlite3 all the same.
  // `npm ci` also wants what only other platforms need to be in package-lock.json; not every mirror has had it to offer.
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  if (npm(['ci', ...flags], 'ignore') !== 0 && npm(['install', '--no-save', ...flags]) !== 0) return 'npm install failed'
  // Only the Node of this project comes by an install script.
  if (!existsSync(NODE)) spawnSync(process.execPath, ['installArchSpecificPackage'], { cwd: 'node_modules/node', stdio: ['ignore', 2, 2] })
  // npm links only what is there when it is done.
  if (existsSync(NODE) && !existsSync(LINK)) symlinkSync('../node/bin/node', LINK)
  return undefined
}

/** Why node_modules is not what package-lock.json says, or undefined when it is. */
function staleness() {
  const installed = readLock('node_modules/.package-lock.json')
  if (installed === undefined) return 'there are none yet'
  for (const [path, { version, optional, dev, os, cpu, libc, peer }] of Object.entries(readLock('package-lock.json') ?? {})) {
    if (path === '' || installed[path]?.version === version) continue
    const mayBeLeftOut = optional || os || cpu || libc || (peer && !dev)
    if (installed[path] === undefined && mayBeLeftOut) continue
    return `${path.replace(/^.*node_modules\//, '')} should be ${version}`
  }
  return existsSync(LINK) || isNewEnough(process.versions.node) ? undefined : 'Node itself is missing'
}

function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages
  } catch {
    return undefined
  }
}

/** npm as it called us, else the one in the PATH; `npm_*` variables of the outer call would configure the inner one. */
function npm(args, output = 2) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(?!config_)/i.test(name) && name !== 'NODE_ENV'))
  const cli = process.env.npm_execpath
  // The outer npm may run on the Node in node_modules, which `npm ci` removes: the system's Node is safe.
  const [program, ...prefix] = cli?.endsWith('.js') ? [systemNode(), cli] : ['npm']
  return spawnSync(program, [...prefix, ...args], { stdio: ['ignore', output, output], env }).status
}

function systemNode() {
  const ours = resolve('node_modules')
  const directories = (process.env.PATH ?? '').split(':').filter((directory) => directory && !resolve(directory).startsWith(ours))
  return directories.map((directory) => resolve(directory, 'node')).find((path) => existsSync(path)) ?? process.execPath
}

/** The Node that everything here is run with: that of node_modules, else (where it cannot run, as with musl) the one that runs this. */
export function projectNode() {
  const ours = resolve(NODE)
  if (spawnSync(ours, ['--version'], { stdio: 'ignore' }).status === 0) return resolve(LINK)
  return isNewEnough(process.versions.node) ? process.execPath : undefined
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
}
