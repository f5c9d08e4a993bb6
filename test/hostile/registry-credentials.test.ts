import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { createCredentialStore } from '../../src/registry/credentials.ts'
import type { RegistryClientOptions } from '../../src/registry/registry-client.ts'
import type { Credential } from '../../src/registry/types.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import { type Certificate, makeCertificate } from '../helpers/certificate.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions } from '../helpers/fake-registry.ts'
import { failure, first, registryWorld } from '../helpers/registry-world.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'

const BOB: Credential = { username: 'bob', password: 'hunter2' }
const directory = temporaryDirectories()
const world = registryWorld({ users: { bob: 'hunter2' } })
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'app', tag: '1' })
const client = (registries: readonly FakeRegistry[], options: RegistryClientOptions = {}) =>
  world.client(registries, { retry: { attempts: 1 }, ...options })
async function registry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const fake = await world.registry(options)
  fake.addImage('app', { tag: '1' })
  return fake
}
/** A server of another party, and what it was sent that it should not have been. */
const stranger = (certificate?: Certificate) => registry(certificate ? { certificate } : {})
function secretsAt(fake: FakeRegistry): unknown[] {
  const isSecret = ({ headers, body, path }: FakeRegistry['requests'][number]) =>
    headers.authorization ?? headers.cookie ?? headers['proxy-authorization'] ?? /hunter2|refresh/.test(body + path)
  return fake.requests.filter(isSecret)
}

describe('foreign layers (CVE-2020-15157)', () => {
  async function foreign(allowed: (evil: FakeRegistry) => readonly string[]) {
    const certificate = makeCertificate()
    const [fake, evil] = [await registry({ auth: 'basic' }), await stranger(certificate)]
    const certs = directory()
    for (const host of [evil.host, new URL(evil.storageUrl).host]) {
      mkdirSync(join(certs, host))
      writeFileSync(join(certs, host, 'ca.crt'), certificate.cert)
    }
    const bytes = Buffer.from('layer')
    const layer = {
      ...evil.addBlob(bytes, MEDIA_TYPES.dockerForeignLayerGzip),
      urls: [`${evil.url}/v2/x/blobs/${digestOf(bytes)}`, 'http://169.254.169.254/'],
    }
    const registryClient = client([fake], { certsDirectories: [certs], foreignLayerHosts: allowed(evil) })
    return {
      fake,
      evil,
      bytes,
      layer,
      fetch: async () => Buffer.concat(await registryClient.blob(app(fake), layer, { credential: BOB }).toArray()),
    }
  }

  test('are not fetched from hosts that the user has not listed; the error says which', async () => {
    const { evil, fetch } = await foreign(() => [])
    const error = await failure(fetch())
    expect(error.code).toBe('ERR_BLOB_NOT_FOUND')
    expect(error.message).toContain(evil.host)
    expect(evil.requests).toEqual([])
  })

  test('are fetched from a listed host, without credentials', async () => {
    const { evil, bytes, fetch } = await foreign(({ host }) => [host])
    expect(await fetch()).toEqual(bytes)
    expect(secretsAt(evil)).toEqual([])
  })

  test('send no credentials to a host that asks for them', async () => {
    const { evil, fetch } = await foreign(({ host }) => [host])
    evil.fault(/blobs/, { status: 401, headers: { 'www-authenticate': 'Basic realm="please"' } })
    await failure(fetch())
    expect(evil.requests).toHaveLength(1)
    expect(secretsAt(evil)).toEqual([])
  })

  test('do not follow a listed host to one that is not', async () => {
    const { evil, fetch } = await foreign(({ host }) => [host])
    evil.fault(/blobs/, { status: 307, headers: { location: `${evil.storageUrl}/x` } })
    expect(await failure(fetch())).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(evil.requests.filter(({ server }) => server === 'storage')).toEqual([])
  })
})

describe('credentials', () => {
  test('are not sent to a token server on plain HTTP (CVE-2019-10214)', async () => {
    const certificate = makeCertificate()
    const [fake, plain] = [await registry({ certificate }), await stranger()]
    const certs = directory()
    mkdirSync(join(certs, fake.host))
    writeFileSync(join(certs, fake.host, 'ca.crt'), certificate.cert)
    const registryClient = client([], { certsDirectories: [certs] })
    for (const realm of [
      `${plain.tokenUrl}/token`,
      `${plain.tokenUrl.replace('http', 'HTTP')}/token`,
      'ftp://x/',
      'nonsense',
      `https://a:b@${plain.host}/`,
    ]) {
      fake.fault(/manifests/, { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}"` }, times: 1 })
      expect(await failure(registryClient.manifest(app(fake), { credential: BOB }))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    }
    expect(plain.requests).toEqual([])
  })

  test('do not follow a token server to another place (CVE-2019-10214)', async () => {
    const [fake, evil] = [await registry({ auth: 'bearer' }), await stranger()]
    fake.fault(/^\/token/, { status: 307, headers: { location: `${evil.tokenUrl}/token` } })
    for (const credential of [BOB, { identityToken: 'refresh-me' }]) {
      expect(await failure(client([fake]).manifest(app(fake), { credential }))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    }
    expect(evil.requests).toEqual([])
  })

  test('are not replaced by those of another registry when a helper is missing (CVE-2021-41092)', async () => {
    const fake = await registry({ auth: 'basic' })
    const home = directory()
    mkdirSync(join(home, '.docker'))
    const auths = { 'https://index.docker.io/v1/': { auth: Buffer.from('bob:hunter2').toString('base64') } }
    writeFileSync(join(home, '.docker/config.json'), JSON.stringify({ auths, credsStore: 'missing' }))
    const { lookup } = createCredentialStore({ home, uid: 0, env: { XDG_RUNTIME_DIR: home, PATH: home } })
    const error = await failure(client([fake], { credentials: lookup }).manifest(app(fake)))
    expect(error).toMatchObject({ code: 'ERR_CREDENTIALS', details: { helper: 'missing' } })
    expect(secretsAt(fake)).toEqual([])
  })

  test('and cookies do not follow a redirect to another origin (CVE-2022-31151, CVE-2023-45143, CVE-2024-24758, CVE-2024-30260)', async () => {
    const [fake, evil] = [await registry({ auth: 'basic' }), await stranger()]
    const blob = evil.addBlob(Buffer.from('x'))
    fake.fault(/blobs/, { status: 307, headers: { location: `${evil.storageUrl}/${blob.digest}`, 'set-cookie': 'session=1' } })
    const registryClient = client([fake])
    await registryClient.manifest(app(fake), { credential: BOB })
    expect((await registryClient.blobBytes(app(fake), blob, { credential: BOB })).toString()).toBe('x')
    expect(fake.requests.at(-1)?.headers.authorization).toMatch(/^Basic/)
    expect(secretsAt(evil)).toEqual([])
  })

  test('are not sent to a host that a redirect led to and that asks for them', async () => {
    const [fake, evil] = [await registry({ auth: 'basic' }), await stranger()]
    const blob = fake.addBlob(Buffer.from('x'))
    fake.fault(/blobs/, { status: 307, headers: { location: `${evil.storageUrl}/x` } })
    evil.fault(/x/, { status: 401, headers: { 'www-authenticate': `Basic realm="a", Bearer realm="${evil.tokenUrl}/token"` } })
    expect(await failure(client([fake]).blobBytes(app(fake), blob, { credential: BOB }))).toMatchObject({ code: 'ERR_REGISTRY_DENIED' })
    expect(secretsAt(evil)).toEqual([])
    expect(evil.requests.every(({ server }) => server === 'storage')).toBe(true)
  })

  test('for one host do not reach its mirrors, which have their own', async () => {
    const [mirror, primary] = [await registry({ auth: 'basic' }), await registry({ auth: 'basic' })]
    const mirrors = [{ location: mirror.host, insecure: true, pullFromMirror: 'all' as const }]
    const registries = { ...confFor(primary), registries: [{ ...primary.conf, mirrors }] }
    const asked: string[] = []
    const credentials = async ({ registry: host }: { registry: string }) => void asked.push(host) as undefined
    const { endpoint } = await client([], { registries, credentials }).manifest(app(primary), { credential: BOB })
    expect(endpoint.registry).toBe(primary.host)
    expect(secretsAt(mirror)).toEqual([])
    expect(asked).toEqual([mirror.host])
  })

  test('do not follow a rewrite of the registry to another host', async () => {
    const [other, named] = [await registry({ auth: 'basic' }), await registry()]
    const registries = { ...confFor(), registries: [{ ...other.conf, prefix: named.host }] }
    expect(await failure(client([], { registries }).manifest(app(named), { credential: BOB }))).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
    })
    expect(secretsAt(other)).toEqual([])
  })

  test.each(['../../evil', 'a;touch evil', 'a b', '$(touch evil)', '-x', '/bin/sh', 'a\nb'])(
    'are not asked of a helper named %j, and nothing is run',
    async (name) => {
      const home = directory()
      mkdirSync(join(home, '.docker'))
      writeFileSync(join(home, '.docker/config.json'), JSON.stringify({ credHelpers: { 'a.com': name } }))
      mkdirSync(join(home, 'docker-credential-..'), { recursive: true })
      writeFileSync(join(home, 'evil'), '#!/bin/sh\ntouch "$HOME/pwned"\n', { mode: 0o755 })
      const { lookup } = createCredentialStore({ home, uid: 0, env: { XDG_RUNTIME_DIR: home, PATH: `${home}:/usr/bin:/bin` } })
      expect(await failure(lookup({ registry: 'a.com', repository: 'x' }))).toMatchObject({ code: 'ERR_CREDENTIALS' })
      expect(existsSync(join(home, 'pwned'))).toBe(false)
    },
  )
})

describe('TLS is checked on every path (CVE-2025-6032, CVE-2025-47279)', () => {
  async function trusted() {
    const certificate = makeCertificate()
    const fake = await registry({ certificate, redirectBlobs: true })
    const impostor = await stranger(makeCertificate())
    const certs = directory()
    mkdirSync(join(certs, fake.host))
    writeFileSync(join(certs, fake.host, 'ca.crt'), certificate.cert)
    return { fake, impostor, registryClient: client([], { certsDirectories: [certs] }) }
  }

  test('manifest, tags, referrers, blob and lookaside of an unknown certificate', async () => {
    const { impostor, registryClient } = await trusted()
    const blob = impostor.addBlob(Buffer.from('x'))
    const work = [
      () => registryClient.manifest(app(impostor)),
      () => registryClient.headManifest(app(impostor)),
      () => registryClient.blobBytes(app(impostor), blob),
      () => first(registryClient.tags(app(impostor))),
      () => first(registryClient.referrers(app(impostor), digestOf('x'))),
      () => registryClient.fetchUrl(`${impostor.url}/signature-1`, { maxBytes: 100 }),
    ]
    for (const result of work) expect(await failure(result())).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(impostor.requests).toEqual([])
  })

  test('the storage that a trusted registry redirects to', async () => {
    const { fake, registryClient } = await trusted()
    expect(await failure(registryClient.blobBytes(app(fake), fake.addBlob(Buffer.from('x'))))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(fake.requests.every(({ server }) => server === 'registry')).toBe(true)
  })

  test('the token server of a trusted registry', async () => {
    const { fake, impostor, registryClient } = await trusted()
    fake.fault(/manifests/, { status: 401, headers: { 'www-authenticate': `Bearer realm="${impostor.tokenUrl}/token"` } })
    expect(await failure(registryClient.manifest(app(fake), { credential: BOB }))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(impostor.requests).toEqual([])
  })

  test('and https does not lead to http', async () => {
    const { fake, registryClient } = await trusted()
    const plain = await stranger()
    fake.fault(/manifests/, { status: 307, headers: { location: `${plain.url}/v2/app/manifests/1` } })
    expect(await failure(registryClient.manifest(app(fake)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(await failure(registryClient.fetchUrl(`${fake.url}/v2/app/manifests/1`, { maxBytes: 100 }))).toMatchObject({
      code: 'ERR_REGISTRY_PROTOCOL',
    })
    expect(plain.requests).toEqual([])
  })

  test('what an insecure registry redirects to is checked, when it is another host', async () => {
    const { fake } = await trusted()
    const port = fake.host.split(':')[1]
    fake.fault(/manifests/, { status: 307, headers: { location: `https://localhost:${port}/v2/app/manifests/1` }, times: 1 })
    expect(await failure(client([fake]).manifest(app(fake)))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
  })
})
