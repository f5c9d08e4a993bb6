// npm run bench -- [--case NAME]... [--json FILE] [--svg] [--list]
//
// Measures podlib, built as users get it, beside its peers, in turn, on this machine. Run it as root, with nothing
// else running.
import { spawnSync } from 'node:child_process'

const { status } = spawnSync(process.execPath, ['.ci/build.mjs'], { stdio: ['ignore', 2, 2] })
if (status !== 0) process.exit(1)
await import('./main.ts')
