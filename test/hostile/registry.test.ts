import { describe, expect, test } from '@jest/globals'
import { resolveShortName } from '../../src/registry/endpoints.ts'
import { EMPTY_REGISTRIES_CONF } from '../../src/registry/registries-conf.ts'
import { createRegistryClient, type RegistryClientOptions } from '../../src/registry/registry-client.ts'
import { type Digest, digestOf } from '../../src/spec/digest.ts'
import { assertRunnableImage, parseManifest } from '../../src/spec/manifest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import type { FakeRegistry, FakeRegistryOptions, Fault } from '../helpers/fake-registry.ts'
import { collect, failure, first, registryWorld } from '../helpers/registry-world.ts'

const world = registryWorld({ users: { bob: 'hunter2' } })
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'app', tag: '1' })
const client = (registries: readonly FakeRegistry[], options: RegistryClientOptions = {}) =>
  world.client(registries, { retry: { attempts: 1 }, ...options })
async function registry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const fake = await world.registry(options)
  fake.addImage('app', { tag: '1' })
  return fake
}

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
    const [fake, evil] = [await registry(), await registry()]
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
