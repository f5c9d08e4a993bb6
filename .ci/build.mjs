// Builds dist/ from nothing: declarations by the compiler, code in few files. A program that imports podlib would else
// wait for the loader to find two hundred modules, which takes longer than all that podlib does then.
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
const compiler = ['node_modules/typescript/bin/tsc', '-p', '.tsconfig.build.json', '--emitDeclarationOnly']
const { status } = spawnSync(process.execPath, compiler, { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)

/** What is imported by name, and what is started as a process or a thread. */
const entries = ['index', 'registry-export', 'trust-export', 'host/jobs/unpack/content-thread', 'state/checkpoint-thread']
const programs = readdirSync('src/programs').map((file) => `programs/${file.slice(0, -'.ts'.length)}`)
await build({
  entryPoints: [...entries, ...programs].map((name) => `src/${name}.ts`),
  outbase: 'src',
  outdir: 'dist',
  // One folder below the root, as `util/own-file.ts` is: it finds the programs from where it is.
  chunkNames: 'shared/[name]-[hash]',
  bundle: true,
  splitting: true,
  packages: 'external',
  platform: 'node',
  target: 'node22',
  format: 'esm',
  sourcemap: true,
  // Sources with it would double the package.
  sourcesContent: false,
  // Half of what the loader has to read is white space. Names stay, for stack traces.
  minifyWhitespace: true,
  logLevel: 'warning',
})
