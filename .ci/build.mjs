// Builds dist/ from nothing: declarations by the compiler, code in few files. A program that imports podlib would else
// wait for the loader to find two hundred modules, which takes longer than all that podlib does then.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { rolldown } from 'rolldown'

/** What is imported by name, and the program that is a use of it. */
const PUBLIC = ['index', 'registry-export', 'trust-export', 'programs/exit-command']
/** Processes and threads of their own. They share no file with the others: it would have to be split off, one more to find. */
const SEPARATE = ['programs/host-worker', 'host/jobs/unpack/content-thread', 'state/checkpoint-thread']

/** @type {Map<string, Set<string>>} */
const loadedBy = new Map()

rmSync('dist', { recursive: true, force: true })
const compiler = ['node_modules/typescript/bin/tsc', '-p', '.tsconfig.build.json', '--emitDeclarationOnly']
const { status } = spawnSync(process.execPath, compiler, { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
await bundle(PUBLIC, { groups: [{ name: togetherWithIndex, debugName: 'index' }], includeDependenciesRecursively: false })
await bundle(SEPARATE, true)

async function bundle(names, codeSplitting) {
  const build = await rolldown({
    input: Object.fromEntries(names.map((name) => [name, sourceOf(name)])),
    platform: 'node',
    external: (id) => /^[^./]/.test(id),
    transform: { target: 'node22' },
    preserveEntrySignatures: 'allow-extension',
  })
  const { output } = await build.write({
    dir: 'dist',
    format: 'esm',
    // One folder below the root, as `util/own-file.ts` is: it finds the programs from where it is.
    chunkFileNames: 'shared/[name]-[hash].js',
    codeSplitting,
    sourcemap: true,
    // Half of what the loader has to read is white space. Names stay, for stack traces.
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  })
  await build.close()
  for (const { fileName } of output.filter((file) => file.fileName.endsWith('.map'))) dropSources(join('dist', fileName))
}

/** With the sources in its maps the package would be twice as large. */
function dropSources(path) {
  const { sourcesContent, ...map } = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify(map))
}

/**
 * What importing podlib loads in any case lies in two files: one is also that of the narrower imports. Left alone, a bundler
 * makes a file of every set of modules that something else, loaded later, needs too.
 */
function togetherWithIndex(id, graph) {
  if (!staticImports('index', graph).has(id)) return null
  return ['registry-export', 'trust-export'].some((name) => staticImports(name, graph).has(id)) ? 'base' : 'podlib'
}

/** What an entry loads without being asked for more. */
function staticImports(entry, graph) {
  const known = loadedBy.get(entry)
  if (known !== undefined) return known
  const found = new Set()
  loadedBy.set(entry, found)
  const visit = (id) => {
    if (found.has(id)) return
    found.add(id)
    graph.getModuleInfo(id)?.importedIds.forEach(visit)
  }
  visit(sourceOf(entry))
  return found
}

function sourceOf(name) {
  return resolve(`src/${name}.ts`)
}
