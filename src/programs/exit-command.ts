import { Runtime } from '../runtime.ts'

/*
 * What conmon runs when a container ends while no podlib process is alive. Opening the store brings everything in it to a
 * state that is true: the exit is written down, mounts and cgroup go, an ephemeral container is removed.
 */
const [root, runRoot] = process.argv.slice(2)
if (root === undefined || runRoot === undefined) throw new Error('usage: exit-command ROOT RUNROOT')
process.title = 'podlib-exit'
const runtime = await Runtime.open({ root, runRoot })
await runtime.close()
