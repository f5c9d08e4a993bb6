import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { get as getByTls } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Certificate } from './certificate.ts'
import { runProgram } from './programs.ts'

/** A real docker-registry on the loopback interface. */
export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, plain HTTP unless there is a certificate. */
  readonly host: string
  /** Copies an image of an OCI layout into the registry, its layers as they are. */
  push(layout: string, tag: string, name: string): Promise<void>
}

export interface DockerRegistryOptions {
  /** Where the blobs lie. @defaultValue a directory that is removed at the end */
  readonly storage?: string
  /** Further sections of its configuration file, in its YAML. */
  readonly configuration?: string
  /** Speaks TLS. */
  readonly certificate?: Certificate
  /** Takes no pushes. */
  readonly readOnly?: boolean
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
  const maintenance = options.readOnly ? '  maintenance:\n    readonly:\n      enabled: true\n' : ''
  const storageSection = `storage:\n  filesystem:\n    rootdirectory: ${storage}\n  delete:\n    enabled: true\n${maintenance}`
  const tls = options.certificate ? `  tls:\n    certificate: ${work}/cert\n    key: ${work}/key\n` : ''
  for (const [name, text] of Object.entries(options.certificate ?? {})) await writeFile(join(work, name), text)
  await writeFile(
    config,
    `version: 0.1\nlog:\n  level: error\n${storageSection}http:\n  addr: 127.0.0.1:${port}\n  headers:\n    ${MARK}: ['${work}']\n${tls}${options.configuration ?? ''}`,
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
    await answers(`${options.certificate ? 'https' : 'http'}://${host}/v2/`, child, work)
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
    if ((await markAt(url)) === mark) return
    if (Date.now() > deadline) throw new Error(`docker-registry does not answer at ${url}`)
    await sleep(20)
  }
}

async function markAt(url: string): Promise<string | undefined> {
  const asked = url.startsWith('https') ? getByTls(url, { rejectUnauthorized: false }) : get(url)
  try {
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    answer.resume()
    return answer.headers[MARK.toLowerCase()] as string | undefined
  } catch {
    return undefined
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
