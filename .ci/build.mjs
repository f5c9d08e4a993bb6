// Builds dist/ from nothing: the compiler's output, and the generated validators, which are JavaScript already.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, rmSync } from 'node:fs'

rmSync('dist', { recursive: true, force: true })
const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.tsconfig.build.json'], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
const generated = 'src/spec/generated'
if (existsSync(generated))
  cpSync(generated, 'dist/spec/generated', { recursive: true, filter: (path) => !path.endsWith('.ts') || path.endsWith('.d.ts') })
