// Opens the host as whoever runs it, and prints what the host is said to be and what the worker says it is.
import { tmpdir } from 'node:os'
import { openHost } from '../../src/host/open-host.ts'

let asked = false
const host = await openHost({
  runRoot: tmpdir(),
  user: { name: 'root', uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  env: { PATH: process.env.PATH ?? '' },
  exclusively: (work) => {
    asked = true
    return work()
  },
})
const description = await host.run('describe-host', undefined)
await host.close()
console.log(JSON.stringify({ facts: host.facts, description, asked }))
