import { randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { digestOf } from '../../../src/spec/digest.ts'
import type { FakeRegistry } from '../../helpers/fake-registry.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld()
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app', tag: '1' })

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
