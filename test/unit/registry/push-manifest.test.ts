import { describe, expect, test } from '@jest/globals'
import type { Descriptor, RawManifest } from '../../../src/spec/descriptor.ts'
import { digestOf } from '../../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../../src/spec/media-types.ts'
import type { FakeRegistry } from '../../helpers/fake-registry.ts'
import { collect, failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld({ uploads: {} })
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app' })
const EMPTY: Descriptor = { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf('{}'), size: 2 }

function manifest(members: Readonly<Record<string, unknown>> = {}): RawManifest {
  return rawOf({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: EMPTY, layers: [], ...members })
}

function rawOf(document: Readonly<Record<string, unknown>> & { readonly mediaType: string }): RawManifest {
  const bytes = Buffer.from(JSON.stringify(document, undefined, 1))
  return { bytes, digest: digestOf(bytes), mediaType: document.mediaType }
}

function descriptorOf({ mediaType, digest, bytes }: RawManifest): Descriptor {
  return { mediaType, digest, size: bytes.length }
}

describe('a manifest', () => {
  test('is put under a tag as it is, with its type', async () => {
    const fake = await registry()
    const raw = manifest()
    expect(await client([fake]).pushManifest({ ...app(fake), tag: 'v1' }, raw)).toEqual({ digest: raw.digest, subjectHandled: false })
    expect(fake.pushed('team/app', 'v1')?.equals(raw.bytes)).toBe(true)
    expect(fake.requests.at(-1)).toMatchObject({ method: 'PUT', path: '/v2/team/app/manifests/v1' })
    expect(fake.requests.at(-1)?.headers['content-type']).toBe(MEDIA_TYPES.ociManifest)
  })

  test('is put under its digest where there is no tag, and under the tag where there are both', async () => {
    const fake = await registry()
    const raw = manifest()
    const pusher = client([fake])
    await pusher.pushManifest(app(fake), raw)
    await pusher.pushManifest({ ...app(fake), digest: raw.digest }, raw)
    await pusher.pushManifest({ ...app(fake), tag: 'v1', digest: raw.digest }, raw)
    const puts = fake.requests.filter(({ method }) => method === 'PUT').map(({ path }) => path.replace('/v2/team/app/manifests/', ''))
    expect(puts.slice(-3)).toEqual([raw.digest, raw.digest, 'v1'])
  })

  test('is not sent when its digest is not that of its bytes, or not that of the target', async () => {
    const fake = await registry()
    const raw = manifest()
    const pusher = client([fake])
    expect(await failure(pusher.pushManifest(app(fake), { ...raw, digest: digestOf('x') }))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    const other = { ...app(fake), digest: digestOf('x') }
    expect(await failure(pusher.pushManifest(other, raw))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    expect(await failure(pusher.pushManifest({ ...app(fake), tag: '../v1' }, raw))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
    expect(fake.requests).toEqual([])
  })

  test('that is larger than registries take is not sent', async () => {
    const fake = await registry()
    const raw = manifest({ annotations: { a: 'x'.repeat(4 * 1024 * 1024) } })
    const error = await failure(client([fake]).pushManifest(app(fake), raw))
    expect(error).toMatchObject({ code: 'ERR_MANIFEST_INVALID', details: { maxBytes: 4 * 1024 * 1024 } })
    expect(fake.requests).toEqual([])
  })

  test.each([
    [400, 'MANIFEST_INVALID', 'ERR_MANIFEST_INVALID'],
    [400, 'TAG_INVALID', 'ERR_MANIFEST_INVALID'],
    [404, 'MANIFEST_BLOB_UNKNOWN', 'ERR_BLOB_NOT_FOUND'],
    [400, 'BLOB_UNKNOWN', 'ERR_BLOB_NOT_FOUND'],
    [404, 'NAME_UNKNOWN', 'ERR_REPOSITORY_NOT_FOUND'],
    [413, 'X', 'ERR_REGISTRY_BODY_TOO_LARGE'],
    [415, 'X', 'ERR_MANIFEST_UNSUPPORTED'],
    [409, 'TAG_IMMUTABLE', 'ERR_REGISTRY_DENIED'],
    [403, 'DENIED', 'ERR_REGISTRY_DENIED'],
    [405, 'UNSUPPORTED', 'ERR_REGISTRY_UNSUPPORTED'],
  ])('is sent once to a registry that answers %i %s', async (status, code, expected) => {
    const fake = await registry()
    fake.fault(/PUT/, { status, body: JSON.stringify({ errors: [{ code, message: 'because' }] }) })
    const error = await failure(client([fake]).pushManifest({ ...app(fake), tag: 'v1' }, manifest()))
    expect(error).toMatchObject({ code: expected, details: { status } })
    expect(error.message).toContain('because')
    expect(fake.requests).toHaveLength(1)
  })

  test('is sent again to a registry in trouble', async () => {
    const fake = await registry()
    const raw = manifest()
    fake.fault(/PUT/, { times: 1, status: 503 })
    fake.fault(/PUT/, { times: 1, status: 429, headers: { 'retry-after': '0' } })
    await client([fake]).pushManifest({ ...app(fake), tag: 'v1' }, raw)
    expect(fake.pushed('team/app', 'v1')).toBeDefined()
  })
})

describe('a manifest with a subject', () => {
  test('is left to a registry that says that it lists it', async () => {
    const fake = await registry({ uploads: { subjects: true } })
    const [pusher, subject] = [client([fake]), manifest()]
    const raw = manifest({ subject: descriptorOf(subject) })
    expect(await pusher.pushManifest(app(fake), raw)).toEqual({ digest: raw.digest, subjectHandled: true })
    expect(fake.requests.filter(({ method }) => method === 'PUT')).toHaveLength(1)
  })

  test("is added to the list behind its subject's tag where the registry says nothing", async () => {
    const fake = await registry({ referrersApi: false })
    const [pusher, subject] = [client([fake]), manifest()]
    const annotations = { 'org.example': 'yes' }
    const typed = manifest({ subject: descriptorOf(subject), artifactType: 'application/x-signature', annotations })
    const untyped = manifest({ subject: descriptorOf(subject), config: { ...EMPTY, mediaType: 'application/x-config' } })
    const index = rawOf({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [], subject: descriptorOf(subject) })
    for (const raw of [typed, untyped, index, typed]) {
      expect(await pusher.pushManifest(app(fake), raw)).toEqual({ digest: raw.digest, subjectHandled: false })
    }
    const tag = subject.digest.replace(':', '-')
    expect(JSON.parse(String(fake.pushed('team/app', tag)))).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [
        { ...descriptorOf(typed), artifactType: 'application/x-signature', annotations },
        { ...descriptorOf(untyped), artifactType: 'application/x-config' },
        descriptorOf(index),
      ],
    })
    const found = await collect(pusher.referrers(app(fake), subject.digest))
    expect(found.map(({ descriptor }) => descriptor.digest)).toEqual([typed.digest, untyped.digest, index.digest])
  })

  test('does not get lost when several are pushed at once', async () => {
    const fake = await registry({ referrersApi: false })
    const [pusher, subject] = [client([fake]), manifest()]
    const pushes = ['a', 'b', 'c', 'd'].map((artifactType) => manifest({ subject: descriptorOf(subject), artifactType }))
    fake.fault(/GET .*manifests\/sha256-/, { delayMs: 10 })
    await Promise.all(pushes.map((raw) => pusher.pushManifest(app(fake), raw)))
    expect(await collect(pusher.referrers(app(fake), subject.digest))).toHaveLength(4)
  })

  test('leaves a tag alone that only looks like such a list', async () => {
    const fake = await registry({ referrersApi: false })
    const [pusher, subject] = [client([fake]), manifest()]
    const tag = subject.digest.replace(':', '-')
    await pusher.pushManifest({ ...app(fake), tag }, subject)
    const error = await failure(pusher.pushManifest(app(fake), manifest({ subject: descriptorOf(subject) })))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL', details: { tag } })
    expect(fake.pushed('team/app', tag)?.equals(subject.bytes)).toBe(true)
  })
})
