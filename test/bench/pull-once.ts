// node pull-once.ts DIRECTORY REGISTRY REFERENCE: one pull in a process of its own, so that its memory can be watched.
import { join } from 'node:path'
import { Runtime } from './built-podlib.ts'
import { POLICY } from './environment.ts'

const [directory = '', host = '', reference = ''] = process.argv.slice(2)
await using runtime = await Runtime.open({
  root: join(directory, 'podlib/root'),
  runRoot: join(directory, 'podlib/run'),
  policy: POLICY,
  insecureRegistries: [host],
})
await runtime.images.pull(reference)
