// npm run quickstart: pull an image, run it, look inside, limit it, stop it, remove it. As root or as any user.
//
// Nothing is left behind: images and containers live in a temporary directory that is removed at the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Container, type ContainerStats, isPodlibError, Runtime } from '../src/index.ts'
import { type ImageServer, serveImage } from './support/image-server.ts'
import { ProgressBars } from './support/progress-bars.ts'

const PUBLIC_IMAGE = 'docker.io/library/alpine:latest'

/** What the container does: it counts, and ends when it is told to. */
const PROGRAM = 'trap "echo told to end; exit 7" TERM; n=0; while n=$((n+1)); do echo "line $n"; sleep 0.2; done'

async function main(directory: string): Promise<void> {
  await using server = await imageSource(directory)
  const image = server?.image ?? PUBLIC_IMAGE

  heading('open')
  await using runtime = await timed('Runtime.open', () =>
    Runtime.open({
      root: join(directory, 'root'),
      runRoot: join(directory, 'run'),
      // Which images may be pulled is a decision: here everything. A real program names registries and keys.
      policy: { default: [{ type: 'insecureAcceptAnything' }] },
      insecureRegistries: server ? [server.host] : [],
    }),
  )

  try {
    await tour(runtime, image)
  } finally {
    await removeEverything(runtime)
  }
}

async function tour(runtime: Runtime, image: string): Promise<void> {
  heading(`pull ${image}`)
  await timed('images.pull', () => pull(runtime, image))

  heading('one command, removed afterwards')
  const { stdout } = await timed('runtime.run', () => runtime.run(image, ['cat', '/etc/os-release']))
  console.log(indent(stdout.trim().split('\n').slice(0, 2).join('\n')))

  heading('a container with limits')
  const container = await timed('containers.create', () =>
    runtime.containers.create({
      image,
      name: 'counter',
      command: ['sh', '-c', PROGRAM],
      memory: '64m',
      cpus: 0.5,
      pidsLimit: 32,
      network: 'none',
    }),
  )
  await timed('start', () => container.start())
  await showLogs(container, 3)
  await showExec(container)
  await showStats(runtime, container)
  await timed('stop', () => container.stop({ timeoutMs: 5000 }))
  const { exitCode } = await container.wait()
  console.log(indent(`it ended with code ${exitCode}`))
  await timed('remove', () => container.remove())

  heading('an error')
  await runtime.containers.get('counter').catch((error: unknown) => {
    if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
    console.log(indent(`${error.code}: ${error.message}`))
  })
}

/** Through podlib, because files of an image may belong to ids that only the user namespace of this user can remove. */
async function removeEverything(runtime: Runtime): Promise<void> {
  for (const { id } of await runtime.containers.list()) await (await runtime.containers.get(id)).remove({ force: true })
  for (const { id } of await runtime.images.list()) await runtime.images.remove(id, { force: true })
}

/** A public registry where one answers quickly; else an image made here, served by a registry on this machine. */
async function imageSource(directory: string): Promise<ImageServer | undefined> {
  const answers = await fetch('https://registry-1.docker.io/v2/', { signal: AbortSignal.timeout(3000) }).then(
    ({ status }) => status === 200 || status === 401,
    () => false,
  )
  if (answers) return undefined
  console.log('No public registry answers: making an image of busybox and Node, and serving it from this machine.')
  return serveImage(directory)
}

async function pull(runtime: Runtime, image: string): Promise<void> {
  const bars = new ProgressBars()
  for await (const progress of runtime.images.pull(image)) {
    if ('layer' in progress) bars.update(progress.layer.slice(7, 19), progress.bytes, progress.totalBytes, progress.phase)
  }
}

async function showLogs(container: Container, count: number): Promise<void> {
  heading('its log as it is written')
  let seen = 0
  for await (const { stream, text } of container.logs({ follow: true })) {
    console.log(indent(`${stream}: ${text}`))
    if (++seen === count) break
  }
}

async function showExec(container: Container): Promise<void> {
  heading('commands inside')
  const { stdout, exitCode } = await timed('exec', () => container.exec(['sh', '-c', 'echo "process $$ as user $(id -u)"; exit 3']))
  console.log(indent(`${stdout.trim()}, exit code ${exitCode}`))
  const shell = await container.spawn(['cat'], { stdin: 'pipe' })
  shell.stdin?.end('through standard input and back\n')
  for await (const chunk of shell.stdout ?? []) console.log(indent(String(chunk).trim()))
  await shell.exited
}

async function showStats(runtime: Runtime, container: Container): Promise<void> {
  heading('what it uses of what it may')
  const { host } = await runtime.info()
  if (host.cgroupControllers.length === 0) {
    console.log(indent('this user may make no cgroups here: containers have no limits and no statistics'))
    return
  }
  let samples = 0
  for await (const stats of container.stats({ intervalMs: 500 })) {
    if (++samples < 2) continue
    showReading(stats)
    break
  }
  const { status } = await container.inspect()
  console.log(indent(`status: ${status}`))
}

function showReading({ cpuPercent, memoryBytes, memoryLimitBytes = 0, pids, pidsLimit }: ContainerStats): void {
  const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1)
  console.log(indent(`CPU:       ${cpuPercent.toFixed(1)} % of one, of at most 50 %`))
  console.log(indent(`memory:    ${mebibytes(memoryBytes)} of ${mebibytes(memoryLimitBytes)} MiB`))
  console.log(indent(`processes: ${pids} of ${pidsLimit}`))
}

const timings: { readonly what: string; readonly ms: number }[] = []

async function timed<Value>(what: string, work: () => PromiseLike<Value>): Promise<Value> {
  const begin = performance.now()
  const value = await work()
  timings.push({ what, ms: performance.now() - begin })
  return value
}

const heading = (text: string) => console.log(`\n${text}`)
const indent = (text: string) => text.replace(/^/gm, '  ')

const directory = mkdtempSync(join(tmpdir(), 'podlib-quickstart-'))
try {
  await main(directory)
  heading('times')
  for (const { what, ms } of timings) console.log(`  ${what.padEnd(18)} ${ms.toFixed(1).padStart(8)} ms`)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
