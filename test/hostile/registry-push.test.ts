import { describe, expect, test } from '@jest/globals'
import type { RegistryClient } from '../../src/registry/client-interface.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import { makeCertificate } from '../helpers/certificate.ts'
import type { FakeRegistry, FakeRegistryOptions } from '../helpers/fake-registry.ts'
import { randomContent } from '../helpers/push-content.ts'
import { failure, registryWorld } from '../helpers/registry-world.ts'

/* Registries that want the credentials of a push elsewhere, or its bytes to be others, or the program to hang. */

const MiB = 1024 * 1024
const OTHER = digestOf('other')
const { registry, client } = registryWorld({ uploads: {} })
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app' })

interface Scene {
  readonly fake: FakeRegistry
  readonly evil: FakeRegistry
  readonly pusher: RegistryClient
}

/** A registry that knows who pushes, and a host that would like to know. */
async function scene(options: FakeRegistryOptions = {}): Promise<Scene> {
  const evil = await registry()
  const fake = await registry({ auth: 'basic', users: { ann: 'secret' }, ...options })
  // Also where both are trusted without certificates.
  const pusher = client([fake, evil], { credentials: async () => ({ username: 'ann', password: 'secret' }) })
  await pusher.hasBlob(app(fake), OTHER)
  return { fake, evil, pusher }
}

function toldNothing({ requests }: FakeRegistry): void {
  for (const { headers } of requests) {
    expect(headers.authorization).toBeUndefined()
    expect(headers.cookie).toBeUndefined()
  }
}

describe('credentials', () => {
  test.each(['', 'ann:secret@'])('do not follow a Location to another host (%j)', async (user) => {
    let target = ''
    const { fake, evil, pusher } = await scene({ uploads: { location: () => target } })
    target = `http://${user}${evil.host}/elsewhere?signature=abc`
    evil.fault(/PUT .elsewhere/, { status: 201 })
    expect(await pusher.pushBlob(app(fake), randomContent(1000))).toBe('uploaded')
    expect(evil.requests).toHaveLength(1)
    expect(evil.requests[0]).toMatchObject({ method: 'PUT', bodyLength: 1000 })
    toldNothing(evil)
  })

  test('are not shown to that host when it asks for them, and the signed link is not in the error', async () => {
    let target = ''
    const { fake, evil, pusher } = await scene({ uploads: { location: () => target } })
    target = `http://${evil.host}/elsewhere?signature=abc`
    evil.fault(/elsewhere/, { status: 401, headers: { 'www-authenticate': `Bearer realm="http://${evil.host}/token",scope="x"` } })
    const error = await failure(pusher.pushBlob(app(fake), randomContent(1000)))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_DENIED' })
    expect(JSON.stringify(error) + String(error.stack)).not.toMatch(/signature|secret/)
    toldNothing(evil)
    expect(evil.requests.some(({ path }) => path.includes('token'))).toBe(false)
  })

  test('are not all that is kept: nothing is deleted or looked up on another host, however the upload ends', async () => {
    let target = ''
    const { fake, evil, pusher } = await scene({ uploads: { location: () => target } })
    target = `http://${evil.host}/index`
    evil.fault(/index/, { status: 503 })
    await failure(pusher.pushBlob(app(fake), randomContent(1000)))
    await failure(pusher.pushBlob(app(fake), { ...randomContent(1000), size: 999 }))
    expect(new Set(evil.requests.map(({ method }) => method))).toEqual(new Set(['PUT']))
  })

  test('do not follow a redirect to another host, but the bytes do', async () => {
    const { fake, evil, pusher } = await scene()
    fake.fault(/PUT .*uploads/, { times: 1, early: true, status: 307, headers: { location: `http://${evil.host}/moved` } })
    evil.fault(/moved/, { status: 201 })
    const content = randomContent(4 * MiB)
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(evil.requests.at(-1)).toMatchObject({ method: 'PUT', bodyLength: 4 * MiB })
    expect(content.reading).toBe(0)
    toldNothing(evil)
  })

  test('of a manifest do not follow either', async () => {
    const { fake, evil, pusher } = await scene()
    fake.fault(/PUT .*manifests/, { status: 308, headers: { location: `http://${evil.host}/moved` } })
    evil.fault(/moved/, { status: 201 })
    await pusher.pushManifest({ ...app(fake), tag: 'v1' }, manifest())
    toldNothing(evil)
  })

  test('are not sent from https to http, and no byte of the blob is', async () => {
    let target = ''
    const { fake, evil, pusher } = await scene({ certificate: makeCertificate(), uploads: { location: () => target } })
    const content = randomContent(1000)
    for (target of [`http://${fake.host}/v2/x`, `http://${evil.host}/elsewhere`]) {
      const error = await failure(pusher.pushBlob(app(fake), content))
      expect(error).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
      expect(error.message).toContain('X-Forwarded-Proto')
    }
    fake.fault(/POST/, { status: 307, headers: { location: `http://${evil.host}/elsewhere` } })
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(evil.requests).toEqual([])
    expect(content.opened).toBe(0)
  })
})

describe('a Location or redirect that leads nowhere', () => {
  test.each(['file:///etc/passwd', 'javascript:alert(1)', 'http://', 'https://[::1'])('is refused: %s', async (target) => {
    const { fake, pusher } = await scene({ uploads: { location: () => target } })
    const content = randomContent(10)
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(content.opened).toBe(0)
  })

  test('is refused where there is none', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/POST/, { status: 202 })
    expect(await failure(pusher.pushBlob(app(fake), randomContent(10)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test.each([301, 302, 303])('is refused where it would turn a push into something else (%i)', async (status) => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT|POST/, { status, headers: { location: '/v2/' } })
    expect(await failure(pusher.pushBlob(app(fake), randomContent(10)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(await failure(pusher.pushManifest(app(fake), manifest()))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test('is left after some redirects', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { early: true, status: 307, headers: { location: '/v2/team/app/blobs/uploads/again' } })
    const content = randomContent(MiB)
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(content.opened).toBeLessThanOrEqual(6)
    expect(content.reading).toBe(0)
    expect(fake.openUploads()).toEqual([])
  })
})

describe('a registry that says other things than happened', () => {
  test('is not believed about the digest of a blob, uploaded or mounted', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { headers: { 'docker-content-digest': OTHER } })
    expect(await failure(pusher.pushBlob(app(fake), randomContent(10)))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    fake.fault(/POST/, { status: 201, headers: { 'docker-content-digest': OTHER } })
    const mount = pusher.pushBlob(app(fake), randomContent(10), { mountFrom: ['team/base'] })
    expect(await failure(mount)).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test('is not believed about the digest of a manifest', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { headers: { 'docker-content-digest': OTHER } })
    expect(await failure(pusher.pushManifest({ ...app(fake), tag: 'v1' }, manifest()))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test('is not believed to have mounted what nobody asked to mount, or to be done while it is not', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { status: 202 })
    expect(await failure(pusher.pushBlob(app(fake), randomContent(10)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    fake.fault(/POST/, { status: 201 })
    expect(await failure(pusher.pushBlob(app(fake), randomContent(10)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test.each(['0-99999999999', '0--5', '5-10', 'bytes 0-1048575/2', '0-9999999999999999999999'])(
    'gets the blob from the first byte on when it claims to have %s of it',
    async (range) => {
      const { fake, pusher } = await scene({ uploads: { forgetful: true } })
      fake.fault(/GET .*uploads/, { status: 204, headers: { range } })
      fake.fault(/PUT .*uploads/, { times: 1, cutRequestAfter: MiB })
      const content = randomContent(2 * MiB)
      expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
      expect(fake.requests.some(({ method }) => method === 'PATCH')).toBe(false)
      expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
    },
  )

  test('does not get its blob published with a hole: its own check fails, and all is sent again', async () => {
    const { fake, pusher } = await scene({ uploads: { forgetful: true } })
    fake.fault(/GET .*uploads/, { times: 1, status: 204, headers: { range: '0-1048575' } })
    fake.fault(/PUT .*uploads/, { times: 1, cutRequestAfter: MiB })
    const content = randomContent(2 * MiB)
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
  })

  test('does not keep podlib busy by losing every upload', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { status: 404, body: '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}' })
    const content = randomContent(10)
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_REGISTRY_SERVER' })
    expect(content.opened).toBe(3)
  })
})

describe('an answer without end', () => {
  test.each([400, 403, 413])('to an upload (%i) is cut', async (status) => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { status, endless: true })
    const before = process.memoryUsage().rss
    await failure(pusher.pushBlob(app(fake), randomContent(10)))
    await failure(pusher.pushManifest(app(fake), manifest()))
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB)
  })

  test('that says that all went well is not read', async () => {
    const { fake, pusher } = await scene()
    fake.fault(/PUT/, { status: 201, endless: true })
    expect(await pusher.pushBlob(app(fake), randomContent(10))).toBe('uploaded')
  })
})

function manifest() {
  const config = { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf('{}'), size: 2 }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] }))
  return { bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociManifest }
}
