// Starts a host worker and stops it, asks it to remove PATH, says the worker's number, and dies before the worker goes on.
//
//   node worker-host-child.ts PATH
import { listProcesses } from '../../src/host/proc.ts'
import { testHost } from './worker.ts'

const [path = ''] = process.argv.slice(2)
const host = testHost()
await host.run('remove-tree', { paths: [] })
const worker = listProcesses().find(({ parent }) => parent === process.pid)
if (worker === undefined) throw new Error('there is no worker')
process.kill(worker.pid, 'SIGSTOP')
host.run('remove-tree', { paths: [path] }).catch(() => {})
// What it asked for is on its way then.
await new Promise((resolve) => setTimeout(resolve, 20))
process.stdout.write(`${worker.pid} ${worker.startTime}\n`)
process.kill(process.pid, 'SIGKILL')
