import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { PodlibError } from '../../../src/errors/errors.ts'
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../../src/registry/registry-client.ts'
import { digestOf } from '../../../src/spec/digest.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../../helpers/fake-registry.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

async function registry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const started = await startFakeRegistry({ ranges: true, ...options })
  open.push(started)
  return started
}
function client(registries: readonly FakeRegistry[], options: RegistryClientOptions = {}): RegistryClient {
  const made = createRegistryClient({ registries: confFor(...registries), retry: { attempts: 3, baseDelayMs: 5 }, ...options })
  open.push(made)
  return made
}
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app', tag: '1' })
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('should have failed')),
    (error) => error as PodlibError,
  )
async function collect<Value>(list: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = []
  for await (const value of list) all.push(value)
  return all
}

describe('manifest', () => {
  test('gives the exact bytes, the bare media type, the digest and the endpoint, in one request', async () => {
    const fake = await registry()
    const image = fake.addImage('team/app', { tag: '1' })
    fake.fault(/manifests/, { headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' } })
    const manifest = await client([fake]).manifest(app(fake))
    expect(manifest).toMatchObject({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: image.descriptor.digest,
      endpoint: { registry: fake.host, repository: 'team/app', insecure: true, mirror: false },
    })
    expect(digestOf(manifest.bytes)).toBe(image.descriptor.digest)
    expect(fake.requests.map(({ path }) => path)).toEqual(['/v2/team/app/manifests/1'])
    expect(fake.requests[0]?.headers).toMatchObject({ 'accept-encoding': 'identity', 'user-agent': 'podlib' })
    expect(fake.requests[0]?.headers.accept?.split(', ')).toHaveLength(6)
  })

  test('fetches by digest when both are given, and proves sha512 too', async () => {
    const fake = await registry()
    const image = fake.addImage('team/app', { tag: '2' })
    const registryClient = client([fake])
    expect((await registryClient.manifest({ ...app(fake), digest: image.descriptor.digest })).digest).toBe(image.descriptor.digest)
    const { bytes } = await registryClient.manifest({ ...app(fake), tag: '2' })
    const sha512 = digestOf(bytes, 'sha512')
    fake.fault(/sha512/, { headers: { 'docker-content-digest': sha512 } })
    expect((await registryClient.manifest({ ...app(fake), digest: sha512 })).digest).toBe(sha512)
  })

  test('says what to do when there is no such tag', async () => {
    const fake = await registry()
    const error = await failure(client([fake]).manifest(app(fake)))
    expect(error).toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
      details: { status: 404, registry: fake.host, errors: [{ code: 'MANIFEST_UNKNOWN', message: 'unknown' }] },
    })
    expect(error.message).toContain('check the repository, tag or digest')
  })

  test.each([
    [400, { code: 'UNKNOWN', message: 'repository team/app Not Found' }, 'ERR_MANIFEST_NOT_FOUND'],
    [403, { code: 'DENIED', message: 'no' }, 'ERR_REGISTRY_DENIED'],
    [403, { code: 'TOOMANYREQUESTS', message: 'slow' }, 'ERR_REGISTRY_RATE_LIMITED'],
    [418, { code: 'TEAPOT', message: '' }, 'ERR_REGISTRY_PROTOCOL'],
  ])('reads status %i with %j as %s', async (status, error, code) => {
    const fake = await registry()
    fake.fault(/manifests/, { status, body: JSON.stringify({ errors: [error] }) })
    expect(await failure(client([fake]).manifest(app(fake)))).toMatchObject({ code })
    expect(fake.requests).toHaveLength(1)
  })

  test.each([408, 425, 429, 500, 502, 503, 504])('tries again after a %i', async (status) => {
    const fake = await registry()
    fake.addImage('team/app', { tag: '1' })
    fake.fault(/manifests/, { status, times: 2 })
    await client([fake]).manifest(app(fake))
    expect(fake.requests).toHaveLength(3)
  })

  test('tries again when the connection breaks before or inside the answer', async () => {
    const fake = await registry()
    fake.addImage('team/app', { tag: '1' })
    const registryClient = client([fake])
    await registryClient.headManifest(app(fake))
    fake.fault(/manifests/, { times: 1, cutAfter: 10 })
    fake.fault(/manifests/, { times: 1, answer: (request) => request.socket.destroy() })
    await registryClient.manifest(app(fake))
    expect(fake.requests).toHaveLength(4)
  })

  test('gives up when the budget is used up, with what the registry said of its limit', async () => {
    const fake = await registry()
    fake.fault(/manifests/, { status: 429, headers: { 'retry-after': '0', 'ratelimit-remaining': '0;w=21600' } })
    const error = await failure(client([fake]).manifest(app(fake)))
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_RATE_LIMITED',
      kind: 'unavailable',
      details: { retryAfterMs: 0, remaining: 0, status: 429 },
    })
    expect(fake.requests).toHaveLength(3)
  })

  test('stops waiting for the next try when it is aborted, with the reason', async () => {
    const fake = await registry()
    fake.fault(/manifests/, { status: 503, headers: { 'retry-after': '60' } })
    const reason = new Error('enough')
    const abort = new AbortController()
    setTimeout(() => abort.abort(reason), 50)
    expect(await failure(client([fake]).manifest(app(fake), { signal: abort.signal }))).toBe(reason)
  })

  test('stops a request under way when it is aborted', async () => {
    const fake = await registry()
    fake.fault(/manifests/, { stallAfter: 10 })
    const signal = AbortSignal.timeout(50)
    expect(await failure(client([fake]).manifest(app(fake), { signal }))).toBe(signal.reason)
  })

  test('says that nothing listens', async () => {
    const fake = await registry()
    await fake.close()
    const error = await failure(client([fake]).manifest(app(fake)))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE', details: { systemCode: 'ECONNREFUSED' } })
  })

  test('refuses to work when closed', async () => {
    const fake = await registry()
    const registryClient = client([fake])
    await registryClient.close()
    expect(await failure(registryClient.manifest(app(fake)))).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
  })

  test('reports each warning of a registry once, as plain text', async () => {
    const fake = await registry()
    fake.addImage('team/app', { tag: '1' })
    fake.fault(/manifests/, { headers: { warning: ['299 - "say \\"bye\\" to\x9b31m\tthis"', '199 - "other"', '299 - "two"'] } })
    const reported: unknown[] = []
    const registryClient = client([fake], { onWarning: (warning) => reported.push(warning) })
    await registryClient.manifest(app(fake))
    await registryClient.manifest(app(fake))
    expect(reported).toEqual([
      { registry: fake.host, text: 'say "bye" to this' },
      { registry: fake.host, text: 'two' },
    ])
  })
})

test('headManifest tells type, digest and size without a body', async () => {
  const fake = await registry()
  const { descriptor } = fake.addImage('team/app', { tag: '1' })
  expect(await client([fake]).headManifest(app(fake))).toMatchObject(descriptor)
  expect(fake.requests.map(({ method }) => method)).toEqual(['HEAD'])
})

describe('blobBytes', () => {
  test('gives proven bytes', async () => {
    const fake = await registry()
    const blob = fake.addBlob(Buffer.from('{"a":1}'))
    expect((await client([fake]).blobBytes(app(fake), blob)).toString()).toBe('{"a":1}')
  })

  test('refuses a blob that is larger than allowed before asking for it', async () => {
    const fake = await registry()
    const error = await failure(client([fake]).blobBytes(app(fake), fake.addBlob(randomBytes(100)), { maxBytes: 99 }))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_BODY_TOO_LARGE' })
    expect(fake.requests).toHaveLength(0)
  })

  test('refuses changed bytes', async () => {
    const fake = await registry()
    fake.fault(/blobs/, { corrupt: true })
    expect(await failure(client([fake]).blobBytes(app(fake), fake.addBlob(randomBytes(100))))).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
    })
  })
})

describe('tags', () => {
  test('follows pages and leaves out what is no tag', async () => {
    const fake = await registry()
    for (let tag = 1; tag <= 2; tag++) fake.addImage('team/app', { tag: `v${tag}` })
    expect(await collect(client([fake]).tags(app(fake)))).toEqual(['v1', 'v2'])
    fake.fault(/tags\/list\?n=/, {
      times: 1,
      body: '{"tags":["a","\\u001b[31m",7,"b"]}',
      headers: { link: `<${fake.url}/v2/team/app/tags/list?last=b>; rel="next"` },
    })
    expect(await collect(client([fake]).tags(app(fake)))).toEqual(['a', 'b', 'v1', 'v2'])
  })

  test('takes null for no tags, and says when there is no such repository', async () => {
    const fake = await registry()
    fake.fault(/tags/, { times: 1, body: '{"name":"x","tags":null}' })
    expect(await collect(client([fake]).tags(app(fake)))).toEqual([])
    fake.fault(/tags/, { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' })
    expect(await failure(collect(client([fake]).tags(app(fake))))).toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
  })
})

describe('referrers', () => {
  const signature = (subject: object) => ({ manifest: { subject, artifactType: 'application/x-signature' } })

  test.each([true, false])('finds the manifests that refer to a digest (API: %s)', async (referrersApi) => {
    const fake = await registry({ referrersApi })
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    const signed = fake.addImage('team/app', signature(descriptor))
    const report = fake.addImage('team/app', { manifest: { subject: descriptor, artifactType: 'application/x-report' } })
    if (!referrersApi) {
      const entries = [signed, report].map((added, index) => ({
        ...added.descriptor,
        artifactType: ['application/x-signature', 'application/x-report'][index] as string,
      }))
      fake.addIndex('team/app', entries, { tag: descriptor.digest.replace(':', '-') })
    }
    const registryClient = client([fake])
    expect(await collect(registryClient.referrers(app(fake), descriptor.digest))).toHaveLength(2)
    const found = await collect(registryClient.referrers(app(fake), descriptor.digest, { artifactType: 'application/x-signature' }))
    expect(found.map(({ manifest }) => manifest.digest)).toEqual([signed.descriptor.digest])
  })

  test('leaves out what names another subject', async () => {
    const fake = await registry({ referrersApi: false })
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    const other = fake.addImage('team/app', { tag: 'other', config: { os: 'other' } })
    const lie = fake.addImage('team/app', signature(other.descriptor))
    fake.addIndex('team/app', [lie.descriptor, other.descriptor], { tag: descriptor.digest.replace(':', '-') })
    expect(await collect(client([fake]).referrers(app(fake), descriptor.digest))).toEqual([])
  })

  test('is empty when there is neither API nor tag', async () => {
    const fake = await registry({ referrersApi: false })
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    expect(await collect(client([fake]).referrers(app(fake), descriptor.digest))).toEqual([])
  })

  test('does not let a mirror hide them', async () => {
    const [mirror, fake] = [await registry(), await registry()]
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    fake.addImage('team/app', signature(descriptor))
    const registries = {
      ...confFor(fake),
      registries: [{ ...fake.conf, mirrors: [{ location: mirror.host, insecure: true, pullFromMirror: 'all' as const }] }],
    }
    expect(await collect(client([], { registries }).referrers(app(fake), descriptor.digest))).toHaveLength(1)
  })
})

describe('fetchUrl', () => {
  test('gets a small file as it is, and nothing where there is none', async () => {
    const fake = await registry()
    const { digest } = fake.addBlob(Buffer.from('signature'))
    const registryClient = client([])
    expect((await registryClient.fetchUrl(`${fake.storageUrl}/${digest}`, { maxBytes: 9 }))?.toString()).toBe('signature')
    expect(await registryClient.fetchUrl(`${fake.storageUrl}/none`, { maxBytes: 9 })).toBeUndefined()
  })

  test('stops at its limit, at broken servers and at what is no web address', async () => {
    const fake = await registry()
    const { digest } = fake.addBlob(Buffer.from('signature'))
    const registryClient = client([])
    expect(await failure(registryClient.fetchUrl(`${fake.storageUrl}/${digest}`, { maxBytes: 8 }))).toMatchObject({
      code: 'ERR_REGISTRY_BODY_TOO_LARGE',
    })
    fake.fault(/broken/, { status: 500 })
    expect(await failure(registryClient.fetchUrl(`${fake.storageUrl}/broken`, { maxBytes: 8 }))).toMatchObject({
      code: 'ERR_REGISTRY_SERVER',
    })
    expect(fake.requests).toHaveLength(4)
    for (const url of ['file:///etc/passwd', 'x', `http://a:b@${fake.host}/`]) {
      expect(await failure(registryClient.fetchUrl(url, { maxBytes: 8 }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
  })
})

describe('mirrors', () => {
  async function pair() {
    const [mirror, primary] = [await registry(), await registry()]
    const conf = { ...primary.conf, mirrors: [{ location: `${mirror.host}/copy`, insecure: true, pullFromMirror: 'all' as const }] }
    return { mirror, primary, registryClient: client([], { registries: { ...confFor(primary), registries: [conf] } }) }
  }

  test('come first', async () => {
    const { mirror, primary, registryClient } = await pair()
    mirror.addImage('copy/team/app', { tag: '1' })
    expect((await registryClient.manifest(app(primary))).endpoint).toEqual({
      registry: mirror.host,
      repository: 'copy/team/app',
      insecure: true,
      mirror: true,
    })
    expect(primary.requests).toEqual([])
  })

  test('are left for the registry when they lack, corrupt or refuse the manifest', async () => {
    const { mirror, primary, registryClient } = await pair()
    const { descriptor } = primary.addImage('team/app', { tag: '1' })
    expect((await registryClient.manifest(app(primary))).endpoint.registry).toBe(primary.host)
    mirror.addImage('copy/team/app', { tag: '1' })
    mirror.fault(/manifests/, { corrupt: true, times: 1 })
    expect((await registryClient.manifest({ ...app(primary), digest: descriptor.digest })).endpoint.registry).toBe(primary.host)
    mirror.fault(/manifests/, { status: 500 })
    expect((await registryClient.manifest(app(primary))).endpoint.registry).toBe(primary.host)
  })

  test('are named when everything fails, with the error of the registry itself', async () => {
    const { mirror, primary, registryClient } = await pair()
    mirror.fault(/manifests/, { status: 403 })
    expect(await failure(registryClient.manifest(app(primary)))).toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
      details: { registry: primary.host, mirrors: [{ registry: mirror.host, code: 'ERR_REGISTRY_DENIED' }] },
    })
  })

  test('that lack one blob do not fail the pull', async () => {
    const { mirror, primary, registryClient } = await pair()
    const bytes = randomBytes(5000)
    const blob = primary.addBlob(bytes)
    const download = registryClient.blob(app(primary), blob)
    expect(Buffer.concat(await download.toArray()).equals(bytes)).toBe(true)
    expect(await registryClient.blobBytes(app(primary), blob)).toEqual(bytes)
    expect(mirror.requests).toHaveLength(2)
  })

  test('that break down in the middle of a blob are replaced from there', async () => {
    const { mirror, primary, registryClient } = await pair()
    const bytes = randomBytes(300_000)
    mirror.addBlob(bytes)
    mirror.fault(/blobs/, { cutAfter: 100_000 })
    const blob = primary.addBlob(bytes)
    expect(Buffer.concat(await registryClient.blob(app(primary), blob).toArray()).equals(bytes)).toBe(true)
    expect(primary.requests[0]?.headers.range).toMatch(/^bytes=[1-9]\d*-$/)
  })
})
