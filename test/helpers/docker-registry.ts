import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runProgram } from './programs.ts'

/** A real docker-registry on the loopback interface. */
export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, plain HTTP. */
  readonly host: string
  /** Copies an image of an OCI layout into the registry, its layers as they are. */
  push(layout: string, tag: string, name: string): Promise<void>
}

export interface DockerRegistryOptions {
  /** Where the blobs lie. @defaultValue a directory that is removed at the end */
  readonly storage?: string
  /** Further sections of its configuration file, in its YAML. */
  readonly configuration?: string
}

const START_TIMEOUT_MS = 10_000
/** Header of every answer: another program may have taken the port in the meantime. */
const MARK = 'X-Registry-Of'

/** Starts `docker-registry` on a free port and waits until it answers. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const work = await mkdtemp(join(tmpdir(), 'registry-'))
  const port = await freePort()
  const storage = options.storage ?? join(work, 'storage')
  const config = join(work, 'config.yml')
  const storageSection = `storage:\n  filesystem:\n    rootdirectory: ${storage}\n  delete:\n    enabled: true\n`
  await writeFile(
    config,
    `version: 0.1\nlog:\n  level: error\n${storageSection}http:\n  addr: 127.0.0.1:${port}\n  headers:\n    ${MARK}: ['${work}']\n${options.configuration ?? ''}`,
  )
  const child = spawn('docker-registry', ['serve', config], {
    stdio: 'ignore',
    env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: 'none' },
  })
  const stop = async () => {
    await end(child)
    await rm(work, { recursive: true, force: true })
  }
  const host = `127.0.0.1:${port}`
  try {
    await answers(`http://${host}/v2/`, child, work)
  } catch (error) {
    await stop()
    throw error
  }
  const push = (layout: string, tag: string, name: string) =>
    runProgram('skopeo', [
      'copy',
      '--quiet',
      '--insecure-policy',
      '--dest-tls-verify=false',
      `oci:${layout}:${tag}`,
      `docker://${host}/${name}`,
    ])
  return { host, push, [Symbol.asyncDispose]: stop }
}

async function answers(url: string, child: ChildProcess, mark: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (true) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`)
    const found = await fetch(url).then(
      ({ headers }) => headers.get(MARK),
      () => undefined,
    )
    if (found === mark) return
    if (Date.now() > deadline) throw new Error(`docker-registry does not answer at ${url}`)
    await sleep(20)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
