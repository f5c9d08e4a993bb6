import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { BlobRetry } from '../../../src/registry/blob.ts'
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../../src/registry/registry-client.ts'
import type { Descriptor } from '../../../src/spec/descriptor.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../../helpers/fake-registry.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const BYTES = randomBytes(400_000)
const { open } = registryWorld()

interface Setup {
  readonly fake: FakeRegistry
  readonly blob: Descriptor
  readonly client: RegistryClient
  readonly retries: BlobRetry[]
  readonly download: (descriptor?: Descriptor) => Promise<Buffer>
}

async function setup(options: FakeRegistryOptions = {}, clientOptions: RegistryClientOptions = {}): Promise<Setup> {
  const fake = await startFakeRegistry({ ranges: true, ...options })
  const client = createRegistryClient({ registries: confFor(fake), retry: { attempts: 3, baseDelayMs: 5 }, ...clientOptions })
  open.push(fake, client)
  const retries: BlobRetry[] = []
  const blob = fake.addBlob(BYTES)
  const download = async (descriptor = blob) => {
    const target = { registry: fake.host, repository: 'team/app' }
    return Buffer.concat(await client.blob(target, descriptor, { onRetry: (retry) => retries.push(retry) }).toArray())
  }
  return { fake, blob, client, retries, download }
}
const ranges = ({ requests }: FakeRegistry) => requests.map(({ headers }) => headers.range)

test('a blob arrives whole, in one request', async () => {
  const { fake, download } = await setup()
  expect((await download()).equals(BYTES)).toBe(true)
  expect(fake.requests).toHaveLength(1)
})

test('an empty blob is an empty stream', async () => {
  const { fake, download } = await setup()
  expect(await download(fake.addBlob(Buffer.alloc(0)))).toHaveLength(0)
})

describe('a broken download', () => {
  test('goes on from where it broke', async () => {
    const { fake, download, retries } = await setup()
    fake.fault(/blobs/, { cutAfter: 150_000, times: 1 })
    expect((await download()).equals(BYTES)).toBe(true)
    expect(retries).toHaveLength(1)
    expect(retries[0]?.offset).toBeGreaterThan(0)
    expect(ranges(fake)).toEqual([undefined, `bytes=${retries[0]?.offset}-`])
  })

  test('goes on when it stalls', async () => {
    const { fake, download, retries } = await setup({}, { timeouts: { stallMs: 300 } })
    fake.fault(/blobs/, { stallAfter: 100_000, times: 1 })
    expect((await download()).equals(BYTES)).toBe(true)
    expect(retries).toMatchObject([{ offset: 100_000 }])
  })

  test('skips what it has when the server ignores ranges', async () => {
    const { fake, download } = await setup({ ranges: false })
    fake.fault(/blobs/, { cutAfter: 150_000, times: 2 })
    expect((await download()).equals(BYTES)).toBe(true)
    expect(fake.requests).toHaveLength(3)
  })

  test('goes on after a connection without length was closed early', async () => {
    const { fake, download } = await setup()
    const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'
    fake.fault(/blobs/, { times: 1, answer: ({ socket }) => socket.end(Buffer.concat([Buffer.from(head), BYTES.subarray(0, 1000)])) })
    expect((await download()).equals(BYTES)).toBe(true)
    expect(ranges(fake)[1]).toBe('bytes=1000-')
  })

  test('is complete when only the end of the message was lost', async () => {
    const { fake, download } = await setup()
    fake.fault(/blobs/, { cutAfter: BYTES.length, noLength: true })
    expect((await download()).equals(BYTES)).toBe(true)
  })

  test('fails when no try gets further', async () => {
    const { fake, download } = await setup()
    fake.fault(/blobs/, { cutAfter: 0 })
    expect(await failure(download())).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE', details: { systemCode: 'UND_ERR_SOCKET' } })
    expect(fake.requests).toHaveLength(3)
  })

  test('may break as often as it likes while it makes progress', async () => {
    const { fake, download } = await setup()
    const large = randomBytes(8 * 1024 * 1024)
    fake.fault(/blobs/, { cutAfter: 1.5 * 1024 * 1024 })
    expect((await download(fake.addBlob(large))).equals(large)).toBe(true)
    expect(fake.requests.length).toBeGreaterThan(4)
  })

  test.each([
    ['another start', 'bytes 0-399999/400000'],
    ['another end', 'bytes 150000-300000/400000'],
    ['another total', 'bytes 150000-399999/500000'],
    ['no range', ''],
  ])('fails on a partial answer with %s', async (_name, range) => {
    const { fake, download } = await setup()
    fake.fault(/blobs/, { status: 206, headers: { 'content-range': range }, body: 'x' })
    fake.fault(/blobs/, { stallAfter: 0, cutAfter: 150_000, times: 1, answer: ({ socket }) => socket.end(cut(150_000)) })
    expect(await failure(download())).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test('gives the same bytes wherever it breaks, with ranges and without', async () => {
    const [ranged, whole] = [await setup(), await setup({ ranges: false })]
    const property = fc.asyncProperty(
      fc.boolean(),
      fc.array(fc.integer({ min: 0, max: 399_999 }), { maxLength: 2 }),
      async (withRanges, cuts) => {
        const { fake, download } = withRanges ? ranged : whole
        for (const at of cuts) fake.fault(/blobs/, { times: 1, cutAfter: at })
        expect((await download()).equals(BYTES)).toBe(true)
      },
    )
    await fc.assert(property, { numRuns: 20 })
  })
})

describe('the size of a blob', () => {
  test('that is less than the manifest says is refused', async () => {
    const { fake, blob, download } = await setup()
    fake.fault(/blobs/, { truncateAfter: 1000, times: 1 })
    expect(await failure(download())).toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
    fake.fault(/blobs/, { truncateAfter: 1000, noLength: true, times: 1 })
    expect(await failure(download())).toMatchObject({ code: 'ERR_SIZE_MISMATCH', kind: 'denied' })
    expect(await failure(download({ ...blob, size: blob.size + 1 }))).toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
  })

  test('that is more is refused before more is read', async () => {
    const { fake, blob, download } = await setup()
    expect(await failure(download({ ...blob, size: blob.size - 1 }))).toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
    fake.fault(/blobs/, { endless: true })
    expect(await failure(download())).toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
  })
})

describe('a redirect to storage', () => {
  test('is followed without credentials, each time from the registry', async () => {
    const { fake, download } = await setup({ redirectBlobs: true, auth: 'bearer', anonymous: true })
    fake.fault(/signature/, { cutAfter: 150_000, times: 1 })
    expect((await download()).equals(BYTES)).toBe(true)
    const storage = fake.requests.filter(({ server }) => server === 'storage')
    expect(storage.map(({ headers }) => [headers.authorization, headers.cookie])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ])
    expect(fake.requests.filter(({ server, headers }) => server === 'registry' && headers.authorization)).toHaveLength(2)
  })

  test('that has expired is asked for again at the registry', async () => {
    const { fake, download } = await setup({ redirectBlobs: true })
    fake.fault(/signature/, { status: 403, times: 1 })
    expect((await download()).equals(BYTES)).toBe(true)
    expect(fake.requests.map(({ server }) => server)).toEqual(['registry', 'storage', 'registry', 'storage'])
  })

  test('that is refused for good is an error without the signature of the link', async () => {
    const { fake, download } = await setup({ redirectBlobs: true })
    fake.fault(/signature/, { status: 403 })
    const error = await failure(download())
    expect(error.code).toBe('ERR_REGISTRY_DENIED')
    expect(JSON.stringify(error)).not.toContain('secret')
  })
})

describe('a download that is given up', () => {
  test('by its signal ends with the reason, also while nobody reads', async () => {
    const { fake, blob, client } = await setup()
    fake.fault(/blobs/, { stallAfter: 1000 })
    const abort = new AbortController()
    const reason = new Error('enough')
    const stream = client.blob({ registry: fake.host, repository: 'team/app' }, blob, { signal: abort.signal })
    const ended = failure(stream.toArray())
    await sleep(50)
    abort.abort(reason)
    expect(await ended).toBe(reason)
    const idle = client.blob({ registry: fake.host, repository: 'team/app' }, blob, { signal: AbortSignal.abort(reason) })
    const error = await failure(idle.toArray())
    expect(error).toBe(reason)
  })

  test('by its reader lets go of the connection', async () => {
    const { fake, blob, client } = await setup()
    let closed = false
    fake.fault(/blobs/, {
      answer: ({ socket }, response) => {
        socket.on('close', () => {
          closed = true
        })
        response.write(BYTES.subarray(0, 1000))
      },
    })
    for await (const _chunk of client.blob({ registry: fake.host, repository: 'team/app' }, blob)) break
    for (let waited = 0; !closed && waited < 2000; waited += 10) await sleep(10)
    expect(closed).toBe(true)
  })
})

function cut(bytes: number): Buffer {
  return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES.length}\r\n\r\n`), BYTES.subarray(0, bytes)])
}
