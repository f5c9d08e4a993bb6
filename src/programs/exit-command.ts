import type { RuntimeOptions } from '../options.ts'
import { Runtime } from '../runtime.ts'

/*
 * What conmon runs when a container ends while no podlib process is alive. Opening the store brings everything in it to a
 * state that is true: the exit is written down, mounts and cgroup go, an ephemeral container is removed. Its argument is
 * the JSON of the options of whoever started the container.
 */
const [options] = process.argv.slice(2)
if (options === undefined) throw new Error('usage: exit-command OPTIONS')
process.title = 'podlib-exit'
const runtime = await Runtime.open(JSON.parse(options) as RuntimeOptions)
await runtime.close()
