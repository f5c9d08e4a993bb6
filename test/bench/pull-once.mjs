// node pull-once.mjs DIRECTORY REGISTRY REFERENCE: one pull in a process of its own, so that its memory can be watched.
// Plain JavaScript: the compiler that strips types would count as memory of the pull.
import { join } from 'node:path'

const { Runtime } = await import(new URL('../../dist/index.js', import.meta.url).href)
const [directory = '', host = '', reference = ''] = process.argv.slice(2)
await using runtime = await Runtime.open({
  root: join(directory, 'podlib/root'),
  runRoot: join(directory, 'podlib/run'),
  policy: { default: [{ type: 'insecureAcceptAnything' }] },
  insecureRegistries: [host],
})
await runtime.images.pull(reference)
