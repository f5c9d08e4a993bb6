import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect } from '@jest/globals'
import type { RegistryClient, RegistryClientOptions } from '../../src/registry/client-interface.ts'
import { EMPTY_REGISTRIES_CONF } from '../../src/registry/registries-conf.ts'
import { createRegistryClient } from '../../src/registry/registry-client.ts'
import type { RawManifest } from '../../src/spec/descriptor.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import { makeCertificate } from '../helpers/certificate.ts'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { outputOf } from '../helpers/programs.ts'
import { contentOf, randomContent, type TestContent } from '../helpers/push-content.ts'
import { collect, failure } from '../helpers/registry-world.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { startTokenServer } from '../helpers/token-server.ts'

/* Pushes to the registry that Debian ships. */

const MiB = 1024 * 1024
const directory = temporaryDirectories()
const check = (name: string, work: () => Promise<void>) => testNeeding(['docker-registry', 'skopeo'], name, work)
const BOB = { username: 'bob', password: 'hunter2' }
/** bob and his password, as docker-registry wants it: bcrypt. */
const HTPASSWD = 'bob:$2y$05$podlibpodlibpodlibpodeZRh0FUFdwFguX1XA8JXUzZ2rM7kyuqm\n'
const CONFIG = contentOf(Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } })))

const clients: RegistryClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close()
})

function clientFor(
  host: string,
  { insecure = true, ...options }: RegistryClientOptions & { readonly insecure?: boolean } = {},
): RegistryClient {
  const conf = { prefix: host, location: host, insecure, blocked: false, mirrors: [] }
  const registries = { ...EMPTY_REGISTRIES_CONF, registries: [conf] }
  const client = createRegistryClient({ registries, retry: { attempts: 3, baseDelayMs: 20 }, ...options })
  clients.push(client)
  return client
}

function imageOf(layer: TestContent, members: Readonly<Record<string, unknown>> = {}): RawManifest {
  const config = { mediaType: MEDIA_TYPES.ociConfig, digest: CONFIG.digest, size: CONFIG.size }
  const layers = [{ mediaType: MEDIA_TYPES.ociLayer, digest: layer.digest, size: layer.size }]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers, ...members }))
  return { bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociManifest }
}

check('an image is pushed over TLS to who logs in, and read by skopeo', async () => {
  const [users, certs] = [await directory(), await directory()]
  const certificate = makeCertificate()
  await writeFile(join(users, 'htpasswd'), HTPASSWD)
  const configuration = `auth:\n  htpasswd:\n    realm: test\n    path: ${users}/htpasswd\n`
  await using registry = await startDockerRegistry({ certificate, configuration })
  const { host } = registry
  const app = { registry: host, repository: 'team/app' }
  const layer = randomContent(3 * MiB)
  const stranger = clientFor(host, { insecure: false })
  expect(await failure(stranger.pushBlob(app, layer))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
  await mkdir(join(certs, host))
  await writeFile(join(certs, host, 'ca.crt'), certificate.cert)
  const client = clientFor(host, { insecure: false, certsDirectories: [certs] })
  expect(await failure(client.pushBlob(app, layer))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
  expect(await client.pushBlob(app, layer, { credential: BOB })).toBe('uploaded')
  expect(await client.pushBlob(app, CONFIG, { credential: BOB })).toBe('uploaded')
  const raw = imageOf(layer)
  expect(await client.pushManifest({ ...app, tag: 'v1' }, raw, { credential: BOB })).toEqual({ digest: raw.digest, subjectHandled: false })
  const access = ['--creds', `${BOB.username}:${BOB.password}`, '--tls-verify=false']
  const read = await outputOf('skopeo', ['inspect', '--raw', ...access, `docker://${host}/team/app:v1`])
  expect(read.trim()).toBe(raw.bytes.toString())
})

check('blobs are found, mounted and proven; a manifest without its blobs is refused', async () => {
  await using registry = await startDockerRegistry()
  const client = clientFor(registry.host)
  const base = { registry: registry.host, repository: 'team/base' }
  const app = { ...base, repository: 'team/app' }
  const layer = randomContent(MiB)
  expect(await client.hasBlob(base, layer.digest)).toBe(false)
  expect(await client.pushBlob(base, layer)).toBe('uploaded')
  expect([await client.hasBlob(base, layer.digest), await client.hasBlob(app, layer.digest)]).toEqual([true, false])
  expect(await client.pushBlob(base, layer)).toBe('present')
  expect(await client.pushBlob(app, layer, { mountFrom: ['team/base'] })).toBe('mounted')
  const nowhere = randomContent(10)
  expect(await client.pushBlob(app, nowhere, { mountFrom: ['team/base'] })).toBe('uploaded')
  expect(await client.pushBlob(app, randomContent(0))).toBe('uploaded')
  expect(await failure(client.pushManifest({ ...app, tag: 'v1' }, imageOf(layer)))).toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' })
  const forged = { ...randomContent(MiB), digest: digestOf('other') }
  expect(await failure(client.pushBlob(app, forged))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  expect(await client.hasBlob(app, forged.digest)).toBe(false)
})

check('referrers are found by the tag that stands for the API that this registry lacks', async () => {
  await using registry = await startDockerRegistry()
  const client = clientFor(registry.host)
  const app = { registry: registry.host, repository: 'team/app' }
  const layer = randomContent(10)
  for (const blob of [layer, CONFIG]) await client.pushBlob(app, blob)
  const raw = imageOf(layer)
  await client.pushManifest({ ...app, tag: 'v1' }, raw)
  const subject = { mediaType: raw.mediaType, digest: raw.digest, size: raw.bytes.length }
  const signatures = ['application/x-one', 'application/x-two'].map((artifactType) => imageOf(layer, { subject, artifactType }))
  await Promise.all(signatures.map((signature) => client.pushManifest(app, signature)))
  const found = await collect(client.referrers(app, raw.digest))
  expect(found.map(({ descriptor }) => descriptor.digest).sort()).toEqual(signatures.map(({ digest }) => digest).sort())
  expect(await collect(client.referrers(app, raw.digest, { artifactType: 'application/x-two' }))).toHaveLength(1)
})

check('one token does for a push with a mount; who may only read is told so', async () => {
  const path = await directory()
  const bundle = join(path, 'bundle.pem')
  const allowed = (authorization: string | undefined, repository: string) =>
    authorization ? ['pull', 'push', 'delete'] : repository === 'team/base' ? ['pull'] : []
  await using tokens = await startTokenServer({ bundle, allowed })
  await writeFile(bundle, tokens.certificate.cert)
  await using registry = await startDockerRegistry({ configuration: tokens.configuration })
  const client = clientFor(registry.host)
  const base = { registry: registry.host, repository: 'team/base' }
  const app = { ...base, repository: 'team/app' }
  const layer = randomContent(MiB)
  const credential = BOB
  expect(await client.pushBlob(base, layer, { credential })).toBe('uploaded')
  expect(await client.pushBlob(app, layer, { credential, mountFrom: ['team/base'] })).toBe('mounted')
  expect(tokens.scopes).toEqual(['repository:team/base:pull,push', 'repository:team/app:pull,push repository:team/base:pull'])
  expect(await failure(client.pushBlob(base, { ...layer, digest: digestOf('other') }, { credential }))).toMatchObject({
    code: 'ERR_DIGEST_MISMATCH',
  })
  const reader = clientFor(registry.host)
  const error = await failure(reader.pushBlob(base, randomContent(10)))
  expect(error).toMatchObject({ code: 'ERR_REGISTRY_DENIED' })
  expect(error.message).toContain('may push')
})

check('a registry that takes no pushes says so', async () => {
  await using registry = await startDockerRegistry({ readOnly: true })
  const client = clientFor(registry.host)
  const app = { registry: registry.host, repository: 'team/app' }
  expect(await failure(client.pushBlob(app, randomContent(10)))).toMatchObject({ code: 'ERR_REGISTRY_UNSUPPORTED' })
  expect(await failure(client.pushManifest({ ...app, tag: 'v1' }, imageOf(CONFIG)))).toMatchObject({ code: 'ERR_REGISTRY_UNSUPPORTED' })
})

check('an upload whose connection breaks is whole in the end, and one that is aborted is not there', async () => {
  const storage = await directory()
  await using registry = await startDockerRegistry({ storage })
  await using line = await startBreakingLine(registry.host, [2 * MiB, 3 * MiB])
  const client = clientFor(line.host)
  const app = { registry: line.host, repository: 'team/app' }
  const layer = randomContent(6 * MiB)
  const offsets: number[] = []
  expect(await client.pushBlob(app, layer, { onRetry: ({ offset }) => offsets.push(offset) })).toBe('uploaded')
  expect(offsets).toHaveLength(2)
  const descriptor = { mediaType: MEDIA_TYPES.ociLayer, digest: layer.digest, size: layer.size }
  expect((await client.blobBytes(app, descriptor, { maxBytes: layer.size })).equals(layer.bytes)).toBe(true)
  const abort = new AbortController()
  const endless = randomContent(6 * MiB, { before: (position) => void (position > 3 * MiB && abort.abort(new Error('enough'))) })
  expect(await failure(client.pushBlob(app, endless, { signal: abort.signal }))).toMatchObject({ message: 'enough' })
  expect(await client.hasBlob(app, endless.digest)).toBe(false)
  const blobs = await readdir(join(storage, 'docker/registry/v2/blobs/sha256'))
  expect(blobs).toEqual([layer.digest.slice('sha256:'.length, 'sha256:'.length + 2)])
})

/** A way to a registry on which connections break after so many bytes, each number once. */
async function startBreakingLine(to: string, breaks: number[]): Promise<AsyncDisposable & { readonly host: string }> {
  const [name = '', port = ''] = to.split(':')
  const server = createServer((near) => {
    const far = connect(Number(port), name)
    const end = () => {
      near.destroy()
      far.destroy()
    }
    for (const socket of [near, far]) socket.on('error', end).on('close', end)
    let bytes = 0
    near.on('data', (chunk) => {
      bytes += chunk.length
      if (bytes <= (breaks[0] ?? Number.POSITIVE_INFINITY)) return far.write(chunk)
      breaks.shift()
      return end()
    })
    far.pipe(near)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
    },
  }
}
