import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'

/** A registry on this machine with one image in it. */
export interface ImageServer extends AsyncDisposable {
  /** `127.0.0.1:PORT`, plain HTTP. */
  readonly host: string
  readonly image: string
}

const REPOSITORY = 'quickstart'
const MARK = 'X-Registry-Of'
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Makes an image of what this machine has, busybox and Node, and serves it by a real registry below `directory`. */
export async function serveImage(directory: string): Promise<ImageServer> {
  const { child, host } = await startRegistry(directory)
  try {
    const layers = [busyboxLayer(join(directory, 'busybox')), nodeLayer(join(directory, 'node'))]
    await push(host, [
      { type: 'application/vnd.oci.image.layer.v1.tar+gzip', tar: layers[0] as Buffer, blob: gzipSync(layers[0] as Buffer) },
      { type: 'application/vnd.oci.image.layer.v1.tar+zstd', tar: layers[1] as Buffer, blob: zstdCompressSync(layers[1] as Buffer) },
    ])
  } catch (error) {
    await stop(child)
    throw error
  }
  return { host, image: `${host}/${REPOSITORY}:latest`, [Symbol.asyncDispose]: () => stop(child) }
}

function busyboxLayer(tree: string): Buffer {
  for (const path of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root']) mkdirSync(join(tree, path), { recursive: true })
  const busybox = which('busybox')
  copyFileSync(busybox, join(tree, 'bin/busybox'))
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n')
  for (const name of applets) if (name !== '' && name !== 'busybox') symlinkSync('busybox', join(tree, 'bin', name))
  writeFileSync(join(tree, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\n')
  writeFileSync(join(tree, 'etc/os-release'), 'PRETTY_NAME="a small image made on this machine"\n')
  return pack(tree)
}

/** The Node that runs this, with the shared libraries that it needs. */
function nodeLayer(tree: string): Buffer {
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  for (const path of libraries) {
    mkdirSync(join(tree, dirname(path)), { recursive: true })
    copyFileSync(path, join(tree, path))
  }
  mkdirSync(join(tree, 'usr/bin'), { recursive: true })
  copyFileSync(process.execPath, join(tree, 'usr/bin', basename(process.execPath)))
  return pack(tree)
}

function pack(tree: string): Buffer {
  return execFileSync('tar', ['--numeric-owner', '--owner=0', '--group=0', '-C', tree, '-cf', '-', '.'], { maxBuffer: 1 << 30 })
}

function which(program: string): string {
  const found = SYSTEM_PATH.split(':')
    .map((directory) => join(directory, program))
    .find((path) => existsSync(path))
  if (found === undefined) throw new Error(`${program} is not installed`)
  return found
}

async function startRegistry(directory: string): Promise<{ child: ChildProcess; host: string }> {
  const host = `127.0.0.1:${await freePort()}`
  const config = join(directory, 'registry.yml')
  const storage = join(directory, 'registry')
  // Every answer says whose registry it is: another program may have taken the port in the meantime.
  const http = `http:\n  addr: ${host}\n  headers:\n    ${MARK}: ['${directory}']\n`
  writeFileSync(config, `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${storage}\n${http}`)
  const child = spawn(which('docker-registry'), ['serve', config], { stdio: 'ignore', env: { OTEL_TRACES_EXPORTER: 'none' } })
  for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt++) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined)
    if (answer?.headers.get(MARK) === directory) return { child, host }
    await sleep(50)
  }
  await stop(child)
  throw new Error('docker-registry did not start')
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill()
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

interface Layer {
  readonly type: string
  readonly tar: Buffer
  readonly blob: Buffer
}

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

async function push(host: string, layers: readonly Layer[]): Promise<void> {
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: [`PATH=${SYSTEM_PATH}`], Cmd: ['sh'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => digestOf(tar)) },
    }),
  )
  for (const blob of [config, ...layers.map((layer) => layer.blob)]) await pushBlob(host, blob)
  const describe = (mediaType: string, blob: Buffer) => ({ mediaType, digest: digestOf(blob), size: blob.length })
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map(({ type, blob }) => describe(type, blob)),
  }
  const url = `http://${host}/v2/${REPOSITORY}/manifests/latest`
  await expectCreated(fetch(url, { method: 'PUT', headers: { 'content-type': mediaType }, body: JSON.stringify(manifest) }))
}

async function pushBlob(host: string, blob: Buffer): Promise<void> {
  const begun = await fetch(`http://${host}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' })
  const upload = new URL(begun.headers.get('location') ?? '', begun.url)
  upload.searchParams.set('digest', digestOf(blob))
  const headers = { 'content-type': 'application/octet-stream' }
  await expectCreated(fetch(upload, { method: 'PUT', headers, body: new Uint8Array(blob) }))
}

async function expectCreated(answer: Promise<Response>): Promise<void> {
  const { status, url } = await answer
  if (status !== 201) throw new Error(`the registry answered ${status} to ${url}`)
}
