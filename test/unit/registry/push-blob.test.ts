import { describe, expect, test } from '@jest/globals'
import type { RegistryClient } from '../../../src/registry/client-interface.ts'
import { digestOf } from '../../../src/spec/digest.ts'
import type { FakeRegistry, FakeRegistryOptions } from '../../helpers/fake-registry.ts'
import { contentOf, randomContent } from '../../helpers/push-content.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const MiB = 1024 * 1024
const { registry, client } = registryWorld({ uploads: {} })
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app' })
const asked = (fake: FakeRegistry) => fake.requests.map(({ method, path }) => `${method} ${path.replace(/[?@].*|sha256:.*/, '')}`)

async function world(options: FakeRegistryOptions = {}): Promise<{ fake: FakeRegistry; pusher: RegistryClient }> {
  const fake = await registry(options)
  const pusher = client([fake])
  // So that the first thing asked is not whether it speaks TLS.
  await pusher.hasBlob(app(fake), digestOf('nothing'))
  fake.requests.length = 0
  return { fake, pusher }
}

describe('the way of a blob', () => {
  test('is one look, one POST and one PUT, and no request when it is there', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(MiB + 1)
    const progress: number[] = []
    expect(await pusher.pushBlob(app(fake), content, { onProgress: (bytes) => progress.push(bytes) })).toBe('uploaded')
    expect(asked(fake)).toEqual(['HEAD /v2/team/app/blobs/', 'POST /v2/team/app/blobs/uploads/', 'PUT /v2/team/app/blobs/uploads/upload-1'])
    expect(fake.requests[2]?.headers).toMatchObject({ 'content-length': String(MiB + 1), 'content-type': 'application/octet-stream' })
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
    expect(progress).toHaveLength(17)
    expect(progress.at(-1)).toBe(MiB + 1)
    expect(await pusher.hasBlob(app(fake), content.digest)).toBe(true)
    expect(await pusher.pushBlob(app(fake), content)).toBe('present')
    expect(content).toMatchObject({ opened: 1, reading: 0 })
    expect(fake.requests).toHaveLength(5)
  })

  test.each([0, 1, 64 * 1024])('is open to %i bytes', async (size) => {
    const { fake, pusher } = await world()
    const content = randomContent(size)
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(fake.pushed('team/app', content.digest)?.length).toBe(size)
  })

  test.each(['relative', 'absolute'] as const)("keeps the registry's own parameters in a %s Location as they are", async (location) => {
    const { fake, pusher } = await world({ uploads: { location } })
    const content = randomContent(10)
    await pusher.pushBlob(app(fake), content)
    expect(fake.requests[2]?.path).toBe(
      `/v2/team/app/blobs/uploads/upload-1?_state=a%2Bb==&at=0&digest=${encodeURIComponent(content.digest)}`,
    )
  })

  test('goes to where registries.conf says that the registry is, and never to a mirror', async () => {
    const [fake, mirror] = [await registry(), await registry()]
    const conf = { prefix: 'example.com/team', location: `${fake.host}/moved`, insecure: true, blocked: false }
    const mirrors = [{ location: mirror.host, insecure: true, pullFromMirror: 'all' as const }]
    const registries = { registries: [{ ...conf, mirrors }], unqualifiedSearchRegistries: [], aliases: {}, credentialHelpers: [] }
    const pusher = client([], { registries: { ...registries, shortNameMode: 'enforcing' } })
    const content = randomContent(10)
    expect(await pusher.pushBlob({ registry: 'example.com', repository: 'team/app' }, content)).toBe('uploaded')
    expect(fake.pushed('moved/app', content.digest)).toBeDefined()
    const other = { registry: 'example.com', repository: 'team/other' }
    expect(await pusher.pushBlob(other, content, { mountFrom: ['elsewhere/app', 'team/app'] })).toBe('mounted')
    expect(fake.requests.at(-1)?.path).toContain('&from=moved%2Fapp')
    expect(mirror.requests).toEqual([])
  })

  test('is closed where registries.conf blocks the registry', async () => {
    const fake = await registry()
    const registries = {
      registries: [{ ...fake.conf, blocked: true }],
      unqualifiedSearchRegistries: [],
      aliases: {},
      credentialHelpers: [],
    }
    const pusher = client([], { registries: { ...registries, shortNameMode: 'enforcing' } })
    expect(await failure(pusher.pushBlob(app(fake), randomContent(1)))).toMatchObject({ code: 'ERR_REGISTRY_BLOCKED' })
    expect(fake.requests).toEqual([])
  })
})

describe('a mount', () => {
  test('replaces the upload', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(1000)
    await pusher.pushBlob({ ...app(fake), repository: 'team/base' }, content)
    expect(await pusher.pushBlob(app(fake), content, { mountFrom: ['team/app', 'team/base'] })).toBe('mounted')
    expect(content.opened).toBe(1)
    expect(fake.pushed('team/app', content.digest)).toBeDefined()
    expect(fake.openUploads()).toEqual([])
  })

  test('that becomes an upload is used as one', async () => {
    const { fake, pusher } = await world()
    expect(await pusher.pushBlob(app(fake), randomContent(1000), { mountFrom: ['team/base', 'team/other'] })).toBe('uploaded')
    expect(asked(fake).filter((line) => line.startsWith('POST'))).toHaveLength(1)
    expect(fake.openUploads()).toEqual([])
  })

  test('that is refused leads to the next repository, and at last to an upload', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(1000)
    fake.fault(/POST .*from=/, { status: 400 })
    expect(await pusher.pushBlob(app(fake), content, { mountFrom: ['a', 'b', 'c', 'd'] })).toBe('uploaded')
    expect(fake.requests.filter(({ method }) => method === 'POST').map(({ path }) => /from=(.*)/.exec(path)?.[1])).toEqual([
      'a',
      'b',
      'c',
      undefined,
    ])
  })
})

describe('bytes that are others than promised', () => {
  test.each([
    ['another digest', { digest: digestOf('other') }, 'ERR_DIGEST_MISMATCH'],
    ['more bytes', { digest: digestOf('other'), size: 5 }, 'ERR_SIZE_MISMATCH'],
    ['fewer bytes', { digest: digestOf('other'), size: 300_001 }, 'ERR_SIZE_MISMATCH'],
  ])('with %s are not published, and nothing is left of the upload', async (_what, promise, code) => {
    const { fake, pusher } = await world()
    const content = randomContent(300_000)
    expect(await failure(pusher.pushBlob(app(fake), { ...content, ...promise }))).toMatchObject({ code })
    expect(content).toMatchObject({ opened: 1, reading: 0 })
    expect(asked(fake)).toContain('DELETE /v2/team/app/blobs/uploads/upload-1')
    expect(fake.openUploads()).toEqual([])
    expect(fake.pushed('team/app', promise.digest)).toBeUndefined()
    expect(fake.pushed('team/app', content.digest)).toBeUndefined()
  })

  test('are the last thing that is sent: not one byte more than what was proven before', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(4 * 64 * 1024)
    await failure(pusher.pushBlob(app(fake), { ...content, digest: digestOf('other') }))
    expect(fake.requests.find(({ method }) => method === 'PUT')?.bodyLength ?? 0).toBeLessThanOrEqual(3 * 64 * 1024)
  })

  test('that cannot be read fail with what their source threw, also when that looks like a broken connection', async () => {
    const { fake, pusher } = await world()
    const broken = Object.assign(new Error('the disk is gone'), { code: 'ECONNRESET' })
    const content = randomContent(300_000, {
      before: (position) => {
        if (position > 100_000) throw broken
      },
    })
    expect(await failure(pusher.pushBlob(app(fake), content))).toBe(broken)
    expect(content.opened).toBe(1)
    expect(fake.openUploads()).toEqual([])
  })
})

describe('a connection that breaks', () => {
  test('is resumed from what the registry has', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(4 * MiB)
    fake.fault(/PUT .*uploads/, { times: 1, cutRequestAfter: 2 * MiB })
    const retries: number[] = []
    expect(await pusher.pushBlob(app(fake), content, { onRetry: ({ offset }) => retries.push(offset) })).toBe('uploaded')
    expect(
      asked(fake)
        .slice(2)
        .map((line) => line.slice(0, 5)),
    ).toEqual(['PUT /', 'GET /', 'PATCH', 'PUT /'])
    const [offset = 0] = retries
    expect(offset).toBeGreaterThanOrEqual(2 * MiB)
    expect(fake.requests.find(({ method }) => method === 'PATCH')?.headers['content-range']).toBe(`${offset}-${4 * MiB - 1}`)
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
    expect(content).toMatchObject({ opened: 2, reading: 0 })
  })

  test('is resumed as often as it makes progress', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(9 * MiB)
    fake.fault(/PUT .*uploads|PATCH/, { times: 4, cutRequestAfter: 1.5 * MiB })
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
  })

  test('starts again where the registry has kept nothing', async () => {
    const { fake, pusher } = await world({ uploads: { forgetful: true } })
    const content = randomContent(3 * MiB)
    fake.fault(/PUT .*uploads/, { times: 1, cutRequestAfter: MiB })
    const retries: number[] = []
    expect(await pusher.pushBlob(app(fake), content, { onRetry: ({ offset }) => retries.push(offset) })).toBe('uploaded')
    expect(retries).toEqual([0])
    expect(fake.openUploads()).toEqual([])
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
  })

  test('after the last byte does not upload twice what has arrived', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(1000)
    fake.fault(/PUT .*uploads/, { times: 1, cutAfter: 0 })
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(content.opened).toBe(1)
  })

  test('again and again without progress is given up, and cancelled', async () => {
    const { fake, pusher } = await world({ uploads: { forgetful: true } })
    const content = randomContent(2 * MiB)
    fake.fault(/PUT .*uploads/, { cutRequestAfter: MiB })
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' })
    expect(content).toMatchObject({ opened: 3, reading: 0 })
    expect(fake.openUploads()).toEqual([])
  })

  test('starts again when the registry has lost the upload, or has other bytes than were sent', async () => {
    for (const fault of [
      { status: 404, body: '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}' },
      { status: 416, body: '' },
    ]) {
      const { fake, pusher } = await world()
      const content = randomContent(1000)
      fake.fault(/PUT .*uploads/, { times: 1, ...fault })
      expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
      expect(fake.openUploads()).toEqual([])
    }
    const { fake, pusher } = await world()
    const content = randomContent(3 * MiB)
    fake.fault(/PUT .*uploads/, { times: 1, status: 400, body: '{"errors":[{"code":"DIGEST_INVALID"}]}' })
    fake.fault(/PUT .*uploads/, { times: 1, cutRequestAfter: MiB })
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
  })
})

describe('a registry in trouble', () => {
  test('is given the time it asks for', async () => {
    const { fake, pusher } = await world()
    const content = contentOf(Buffer.from('abc'))
    fake.fault(/POST/, { times: 1, status: 429, headers: { 'retry-after': '0' } })
    fake.fault(/PUT .*uploads/, { times: 1, status: 503 })
    fake.fault(/HEAD/, { times: 1, status: 500 })
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(fake.openUploads()).toEqual([])
  })

  test.each([
    [403, 'DENIED', 'ERR_REGISTRY_DENIED', 'may push'],
    [401, 'DENIED', 'ERR_REGISTRY_DENIED', 'may push'],
    [401, 'UNAUTHORIZED', 'ERR_REGISTRY_UNAUTHORIZED', 'log in'],
    [405, 'UNSUPPORTED', 'ERR_REGISTRY_UNSUPPORTED', 'read-only'],
    [413, 'X', 'ERR_REGISTRY_BODY_TOO_LARGE', 'limit'],
    [404, 'NAME_UNKNOWN', 'ERR_REPOSITORY_NOT_FOUND', 'create the repository'],
    [400, 'NAME_INVALID', 'ERR_INVALID_REFERENCE', 'name'],
  ])('is asked once when it answers %i %s', async (status, code, expected, advice) => {
    const { fake, pusher } = await world()
    const content = randomContent(10)
    fake.fault(/POST/, { status, body: JSON.stringify({ errors: [{ code, message: 'no' }] }) })
    const error = await failure(pusher.pushBlob(app(fake), content))
    expect(error).toMatchObject({ code: expected, details: { status, repository: 'team/app' } })
    expect(error.message).toContain(advice)
    expect(content.opened).toBe(0)
    expect(asked(fake).filter((line) => line.startsWith('POST'))).toHaveLength(1)
  })

  test('that refuses early is believed before all is sent', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(32 * MiB)
    fake.fault(/PUT .*uploads/, { early: true, status: 413, body: '' })
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_REGISTRY_BODY_TOO_LARGE' })
    expect(content).toMatchObject({ opened: 1, reading: 0 })
  })
})

test('a registry that reads no more is not waited for', async () => {
  const fake = await registry()
  const pusher = client([fake], { timeouts: { headersMs: 100 }, retry: { attempts: 1 } })
  const content = randomContent(32 * MiB)
  fake.fault(/PUT .*uploads/, { early: true, answer: () => {} })
  const error = await failure(pusher.pushBlob(app(fake), content))
  expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE', details: { systemCode: 'ETIMEDOUT' } })
  expect(content.reading).toBe(0)
})

describe('an abort', () => {
  test('cancels the upload and closes what was read', async () => {
    const { fake, pusher } = await world()
    const abort = new AbortController()
    const reason = new Error('enough')
    const content = randomContent(8 * MiB, { before: (position) => void (position === 4 * MiB && abort.abort(reason)) })
    expect(await failure(pusher.pushBlob(app(fake), content, { signal: abort.signal }))).toBe(reason)
    expect(asked(fake)).toContain('DELETE /v2/team/app/blobs/uploads/upload-1')
    expect(fake.openUploads()).toEqual([])
    expect(content.reading).toBe(0)
  })

  test('before anything is sent sends nothing', async () => {
    const { fake, pusher } = await world()
    const content = randomContent(10)
    expect(await failure(pusher.pushBlob(app(fake), content, { signal: AbortSignal.abort(new Error('never')) }))).toMatchObject({
      message: 'never',
    })
    expect(fake.requests).toEqual([])
  })
})

test('a registry that reads slowly does not make podlib read ahead', async () => {
  const { fake, pusher } = await world()
  let read = 0
  const content = randomContent(32 * MiB, {
    before: (position) => {
      read = position
    },
  })
  const abort = new AbortController()
  fake.fault(/PUT .*uploads/, { early: true, answer: () => setTimeout(() => abort.abort(), 150) })
  await failure(pusher.pushBlob(app(fake), content, { signal: abort.signal }))
  expect(read).toBeLessThan(16 * MiB)
})
