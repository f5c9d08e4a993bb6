// Checks the package as a user gets it: packed by npm, read by publint and Are The Types Wrong, unpacked and imported.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

function run(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options })
  if (error) console.error(`cannot start ${program}: ${error.message}`)
  if (status !== 0) throw new Error(`failed: ${program} ${args.join(' ')}`)
}

/** What a first use does: import by name, see an export, and leave nothing that keeps the process alive. */
const FIRST_USE = `
import { isPodlibError, PodlibError } from 'podlib'
if (!isPodlibError(new PodlibError('ERR_INTERNAL', 'x'), 'ERR_INTERNAL')) process.exit(1)
for (const name of ['podlib/registry', 'podlib/trust']) if (Object.keys(await import(name)).length === 0) process.exit(1)
const { mkdtempSync, readFileSync, rmSync } = await import('node:fs')
const { Runtime } = await import('podlib')
const directory = mkdtempSync('store-')
const policy = { default: [{ type: 'reject' }] }
const runtime = await Runtime.open({ root: directory + '/root', runRoot: directory + '/run', policy })
// Starts the worker, which has to find its program in the package.
const { version } = await runtime.info()
await runtime.close()
rmSync(directory, { recursive: true })
if (version !== JSON.parse(readFileSync('node_modules/podlib/package.json', 'utf8')).version) process.exit(1)
console.log('the packed package imports and works on Node', process.version)
`

const directory = mkdtempSync(join(tmpdir(), 'podlib-package-'))
try {
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', directory])
  const tarball = join(
    directory,
    readdirSync(directory).find((name) => name.endsWith('.tgz')),
  )
  run('node_modules/.bin/publint', ['run', tarball, '--strict'])
  run('node_modules/.bin/attw', [tarball, '--profile', 'esm-only', '--no-emoji'])
  const modules = join(directory, 'user', 'node_modules')
  mkdirSync(modules, { recursive: true })
  run('tar', ['-xzf', tarball, '-C', modules, '--transform', 's,^package,podlib,'])
  symlinkSync(resolve('node_modules'), join(modules, 'podlib', 'node_modules'))
  writeFileSync(join(directory, 'user', 'first-use.mjs'), FIRST_USE)
  run(process.execPath, ['first-use.mjs'], { cwd: join(directory, 'user') })
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
