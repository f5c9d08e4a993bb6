import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { PodlibError } from '../../src/errors/errors.ts'
import { createCredentialStore } from '../../src/registry/credentials.ts'
import { resolveShortName } from '../../src/registry/endpoints.ts'
import { EMPTY_REGISTRIES_CONF } from '../../src/registry/registries-conf.ts'
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../src/registry/registry-client.ts'
import type { Credential } from '../../src/registry/types.ts'
import type { Digest } from '../../src/spec/digest.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { assertRunnableImage, parseManifest } from '../../src/spec/manifest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import { type Certificate, makeCertificate } from '../helpers/certificate.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions, type Fault, startFakeRegistry } from '../helpers/fake-registry.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'

const BOB: Credential = { username: 'bob', password: 'hunter2' }
const directory = temporaryDirectories()
const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

async function registry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const fake = await startFakeRegistry({ users: { bob: 'hunter2' }, ...options })
  open.push(fake)
  fake.addImage('app', { tag: '1' })
  return fake
}
function client(registries: readonly FakeRegistry[], options: RegistryClientOptions = {}): RegistryClient {
  const made = createRegistryClient({ registries: confFor(...registries), retry: { attempts: 1 }, ...options })
  open.push(made)
  return made
}
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'app', tag: '1' })
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('should have failed')),
    (error) => error as PodlibError,
  )
async function first<Value>(list: AsyncIterable<Value>): Promise<Value | undefined> {
  for await (const value of list) return value
  return undefined
}
async function collect<Value>(list: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = []
  for await (const value of list) all.push(value)
  return all
}
/** A server of another party that says what it wants, and what it was sent. */
async function stranger(certificate?: Certificate): Promise<FakeRegistry> {
  return registry(certificate ? { certificate } : {})
}
const secretsAt = (fake: FakeRegistry) =>
  fake.requests.filter(
    ({ headers, body, path }) =>
      headers.authorization ?? headers.cookie ?? headers['proxy-authorization'] ?? (/hunter2|refresh/.test(body + path) || undefined),
  )

describe('bodies without end (CVE-2020-1702)', () => {
  const LIMIT = 64 * 1024 * 1024
  async function expectBounded(work: Promise<unknown>): Promise<void> {
    const before = process.memoryUsage().rss
    expect(await failure(work)).toMatchObject({ code: 'ERR_REGISTRY_BODY_TOO_LARGE', kind: 'denied' })
    expect(process.memoryUsage().rss - before).toBeLessThan(LIMIT)
  }

  test('of a manifest stop at 4 MiB', async () => {
    const fake = await registry()
    fake.fault(/manifests/, { endless: true })
    await expectBounded(client([fake]).manifest(app(fake)))
  })

  test('of a tag list and of referrers stop at 4 MiB', async () => {
    const fake = await registry()
    fake.fault(/tags|referrers/, { endless: true })
    await expectBounded(first(client([fake]).tags(app(fake))))
    await expectBounded(first(client([fake]).referrers(app(fake), digestOf('x'))))
  })

  test('of a token stop at 1 MiB', async () => {
    const fake = await registry({ auth: 'bearer', anonymous: true })
    fake.fault(/token/, { endless: true })
    await expectBounded(client([fake]).manifest(app(fake)))
  })

  test('of a config stop at its size', async () => {
    const fake = await registry()
    fake.fault(/blobs/, { endless: true })
    expect(await failure(client([fake]).blobBytes(app(fake), fake.addBlob(Buffer.from('{}'))))).toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
  })

  test('of an error, a redirect or a challenge do not hang', async () => {
    const fake = await registry({ auth: 'bearer', anonymous: true })
    fake.fault(/blobs/, { status: 404, endless: true })
    fake.fault(/manifests/, {
      status: 401,
      endless: true,
      times: 1,
      headers: { 'www-authenticate': `Bearer realm="${fake.tokenUrl}/token"` },
    })
    fake.fault(/tags/, { status: 307, endless: true, headers: { location: `${fake.storageUrl}/nothing` } })
    expect((await client([fake]).manifest(app(fake))).bytes.length).toBeGreaterThan(0)
    expect(await failure(client([fake]).blobBytes(app(fake), fake.addBlob(Buffer.from('x'))))).toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' })
    expect(await failure(first(client([fake]).tags(app(fake))))).toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
  })

  test('with a Content-Length that lies are cut short all the same', async () => {
    const fake = await registry()
    fake.fault(/manifests/, { body: Buffer.alloc(5 * 1024 * 1024, ' ') })
    await expectBounded(client([fake]).manifest(app(fake)))
  })
})

describe('digests that are none (CVE-2024-3727)', () => {
  const BAD = [
    `sha256:../../${'a'.repeat(58)}`,
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'A'.repeat(64)}`,
    `md5:${'a'.repeat(32)}`,
    `sha256:${'a'.repeat(64)}/../x`,
    '',
  ]

  test.each(BAD)('%j is refused in a manifest, an index and a subject', (digest) => {
    const entry = { mediaType: MEDIA_TYPES.ociConfig, digest, size: 1 }
    const good = { ...entry, digest: digestOf('x') }
    const documents = [
      { schemaVersion: 2, config: entry, layers: [] },
      { schemaVersion: 2, config: good, layers: [entry] },
      { schemaVersion: 2, config: good, layers: [], subject: entry },
      { schemaVersion: 2, manifests: [entry] },
    ]
    for (const document of documents) {
      const bytes = Buffer.from(JSON.stringify(document))
      expect(() => parseManifest({ mediaType: '', digest: digestOf(bytes), bytes })).toThrow(
        expect.objectContaining({ code: 'ERR_MANIFEST_INVALID' }),
      )
    }
  })

  test.each(BAD.filter((digest) => digest !== ''))('%j never gets into a URL', async (text) => {
    const fake = await registry()
    const digest = text as Digest
    const registryClient = client([fake])
    expect(await failure(registryClient.manifest({ ...app(fake), digest }))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
    expect(await failure(registryClient.blobBytes(app(fake), { mediaType: 'x', digest, size: 1 }))).toMatchObject({
      code: 'ERR_INVALID_DIGEST',
    })
    expect(await failure(first(registryClient.referrers(app(fake), digest)))).toMatchObject({ code: 'ERR_INVALID_DIGEST' })
    expect(fake.requests).toEqual([])
  })

  test('in referrers are refused before anything is fetched', async () => {
    const fake = await registry()
    fake.fault(/referrers/, {
      body: JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest: BAD[0], size: 1 }] }),
    })
    expect(await failure(first(client([fake]).referrers(app(fake), digestOf('x'))))).toMatchObject({ code: 'ERR_MANIFEST_INVALID' })
    expect(fake.requests).toHaveLength(1)
  })

  test('in Docker-Content-Digest are refused', async () => {
    const fake = await registry()
    fake.fault(/manifests/, { headers: { 'docker-content-digest': BAD[0] as string } })
    expect(await failure(client([fake]).manifest(app(fake)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })
})

describe('content that is not what was asked for', () => {
  test('a manifest other than its digest is refused, also when a header vouches for it', async () => {
    const fake = await registry()
    const wanted = digestOf('another')
    fake.fault(/manifests/, { status: 200, body: '{}', headers: { 'docker-content-digest': wanted } })
    expect(await failure(client([fake]).manifest({ ...app(fake), digest: wanted }))).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      kind: 'denied',
    })
    expect(await failure(client([fake]).manifest(app(fake)))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test('a document that is list and image at once is refused, whatever it is called (CVE-2021-41190)', async () => {
    const fake = await registry()
    const entry = { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf('x'), size: 1 }
    const image = `"config":${JSON.stringify(entry)},"layers":[]`
    const bodies = [
      `{"schemaVersion":2,${image},"manifests":[]}`,
      `{"schemaVersion":2,${image},"Manifests":[]}`,
      `{"schemaVersion":2,${image},"manife\u017fts":[]}`,
      `{"schemaVersion":2,${image},"layers":[${JSON.stringify(entry)}]}`,
      `{"schemaVersion":2,${image},"Layers":[]}`,
      `{"schemaVersion":2,"manifests":[],"fsLayers":[]}`,
      `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}",${image}}`,
    ]
    for (const body of bodies) {
      for (const mediaType of [MEDIA_TYPES.ociManifest, MEDIA_TYPES.ociIndex, 'text/plain']) {
        fake.fault(/manifests/, { body, headers: { 'content-type': mediaType, 'docker-content-digest': digestOf(body) }, times: 1 })
        const raw = await client([fake]).manifest(app(fake))
        expect(() => parseManifest(raw)).toThrow(expect.objectContaining({ code: 'ERR_MANIFEST_INVALID' }))
      }
    }
  })

  test('an artifact does not pass for an image', () => {
    const config = { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf('x'), size: 1 }
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, config, layers: [{ ...config, mediaType: 'application/vnd.in-toto+json' }] }),
    )
    const parsed = parseManifest({ mediaType: '', digest: digestOf(bytes), bytes })
    expect(() => parsed.kind === 'image' && assertRunnableImage(parsed.manifest)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_AN_IMAGE' }),
    )
  })
})

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

describe('answers that are encoded (CVE-2026-22036)', () => {
  test.each(['gzip', 'br', Array.from({ length: 1000 }, () => 'gzip').join(', ')])('are refused undecoded', async (encoding) => {
    const fake = await registry({ auth: 'bearer', anonymous: true })
    const registryClient = client([fake])
    fake.fault(/token/, { headers: { 'content-encoding': encoding }, times: 1 })
    expect(await failure(registryClient.manifest(app(fake)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    fake.fault(/manifests\/1|blobs|tags|referrers/, { headers: { 'content-encoding': encoding }, status: 200, body: '' })
    const results = [
      () => registryClient.manifest(app(fake)),
      () => registryClient.blobBytes(app(fake), fake.addBlob(Buffer.from('x'))),
      () => first(registryClient.tags(app(fake))),
      () => first(registryClient.referrers(app(fake), digestOf('x'))),
    ]
    for (const result of results) expect(await failure(result())).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })
})

describe('header and path injection', () => {
  test.each(['podlib\r\nX-Evil: 1', 'podlib\nX', 'a\0b', '', 'pödlib'])(
    'the user agent %j is refused (CVE-2026-1525, CVE-2026-1527)',
    (userAgent) => {
      expect(() => createRegistryClient({ userAgent })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
    },
  )

  test.each(['a%0d%0aX', 'a?x=1', 'a#x', '../other', 'a/../../v1', 'a//b', 'A', 'a\r\nX: 1', ''])(
    'the repository %j never gets into a URL (CVE-2022-35948, CVE-2022-31150)',
    async (repository) => {
      const fake = await registry()
      const registryClient = client([fake])
      const name = { registry: fake.host, repository }
      const refused = { code: 'ERR_INVALID_REFERENCE' }
      expect(await failure(registryClient.manifest({ ...name, tag: '1' }))).toMatchObject(refused)
      expect(await failure(registryClient.blobBytes(name, fake.addBlob(Buffer.from('x'))))).toMatchObject(refused)
      expect(await failure(first(registryClient.tags(name)))).toMatchObject(refused)
      expect(await failure(first(registryClient.referrers(name, digestOf('x'))))).toMatchObject(refused)
      expect(fake.requests).toEqual([])
    },
  )

  test.each(['a/b', '..', 'a?b', 'a\r\nX: 1', '1%2f', ''])('the tag %j never gets into a URL (CVE-2022-35948)', async (tag) => {
    const fake = await registry()
    expect(await failure(client([fake]).manifest({ ...app(fake), tag }))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
    expect(fake.requests).toEqual([])
  })

  test('a token that could end its header is refused', async () => {
    const fake = await registry({ auth: 'bearer' })
    fake.fault(/token/, { status: 200, body: JSON.stringify({ token: 'abc\r\nX-Evil: 1' }) })
    expect(await failure(client([fake]).manifest(app(fake)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })
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

describe('lists without end (CVE-2023-2253)', () => {
  const link = (path: string) => ({ body: '{"tags":["a"],"schemaVersion":2,"manifests":[]}', headers: { link: `<${path}>; rel="next"` } })

  test('that lead in a circle stop', async () => {
    const fake = await registry()
    fake.fault(/tags/, link('/v2/app/tags/list?last=a'))
    expect(await failure(collect(client([fake]).tags(app(fake))))).toMatchObject({
      code: 'ERR_REGISTRY_PROTOCOL',
      message: expect.stringContaining('circle'),
    })
    expect(fake.requests).toHaveLength(2)
  })

  test('that always have another page stop at the cap', async () => {
    const fake = await registry()
    const endless = (body: string): Fault => ({
      answer: (request, response) => {
        response.setHeader('link', `<${request.url?.replace(/\?.*/, '')}?last=${fake.requests.length}>; rel="next"`)
        response.end(body)
      },
    })
    fake.fault(/tags/, endless('{"tags":[]}'))
    fake.fault(/referrers/, endless('{"schemaVersion":2,"manifests":[]}'))
    const registryClient = client([fake], { maxPages: 20 })
    expect(await failure(collect(registryClient.tags(app(fake))))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(await failure(collect(registryClient.referrers(app(fake), digestOf('x'))))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(fake.requests).toHaveLength(40)
  })

  test('that point to another host are read from this one', async () => {
    const [fake, evil] = [await registry(), await stranger()]
    fake.fault(/tags\/list\?n/, link(`${evil.url}/v2/app/tags/list?last=z`))
    expect(await collect(client([fake]).tags(app(fake)))).toEqual(['a', '1'])
    expect(evil.requests).toEqual([])
  })
})

test('redirects without end stop', async () => {
  const fake = await registry()
  fake.fault(/manifests/, { status: 302, headers: { location: `${fake.url}/v2/app/manifests/1` } })
  expect(await failure(client([fake]).manifest(app(fake)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  expect(fake.requests).toHaveLength(6)
})

test('a short name is refused when nothing is configured, so no squatter can answer for it', () => {
  expect(() => resolveShortName(EMPTY_REGISTRIES_CONF, 'company/internal-app')).toThrow(expect.objectContaining({ code: 'ERR_SHORT_NAME' }))
  const two = { ...EMPTY_REGISTRIES_CONF, unqualifiedSearchRegistries: ['internal.example.com', 'docker.io'] }
  expect(() => resolveShortName(two, 'company/internal-app')).toThrow(expect.objectContaining({ code: 'ERR_SHORT_NAME' }))
})
