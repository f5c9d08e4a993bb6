import { describe, expect, test } from '@jest/globals'
import type { RegistryClientOptions } from '../../../src/registry/client-interface.ts'
import type { FakeRegistry, FakeRegistryOptions } from '../../helpers/fake-registry.ts'
import { randomContent } from '../../helpers/push-content.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const MiB = 1024 * 1024
const { registry, client } = registryWorld({ uploads: {} })
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app' })
const USERS = { ann: 'secret' }
const ANN = { username: 'ann', password: 'secret' }

async function world(options: FakeRegistryOptions, clientOptions: RegistryClientOptions = {}) {
  const fake = await registry({ users: USERS, ...options })
  const pusher = client([fake], { credentials: async () => ANN, ...clientOptions })
  const scopes = () =>
    fake.requests
      .filter(({ server }) => server === 'token')
      .map(({ method, path, body }) => {
        const query = method === 'POST' ? new URLSearchParams(body) : new URL(path, 'http://x').searchParams
        return query.getAll('scope').join(' ')
      })
  return { fake, pusher, scopes }
}

describe('a token', () => {
  test('is asked for once for all of a push, and again with what may be mounted from', async () => {
    const { fake, pusher, scopes } = await world({ auth: 'bearer' })
    await pusher.pushBlob(app(fake), randomContent(10))
    await pusher.pushBlob(app(fake), randomContent(10))
    expect(scopes()).toEqual(['repository:team/app:pull,push'])
    await pusher.pushBlob(app(fake), randomContent(10), { mountFrom: ['team/base'] })
    expect(scopes().slice(1)).toEqual(['repository:team/app:pull,push repository:team/base:pull'])
  })

  test('for a look at a blob only reads', async () => {
    const { fake, pusher, scopes } = await world({ auth: 'bearer' })
    expect(await pusher.hasBlob(app(fake), randomContent(10).digest)).toBe(false)
    expect(scopes()).toEqual(['repository:team/app:pull'])
  })

  test('is asked for with an identity token', async () => {
    const { fake, pusher, scopes } = await world(
      { auth: 'bearer', users: { x: 'identity' } },
      { credentials: async () => ({ identityToken: 'identity' }) },
    )
    expect(await pusher.pushBlob(app(fake), randomContent(10), { mountFrom: ['team/base'] })).toBe('uploaded')
    expect(scopes()).toEqual(['repository:team/app:pull,push repository:team/base:pull'])
  })

  test('that ends before the upload does is replaced, and the bytes are sent again', async () => {
    const { fake, pusher, scopes } = await world({ auth: 'bearer' })
    let revoked = false
    const content = randomContent(4 * MiB, {
      before: () => {
        if (!revoked) fake.revokeTokens()
        revoked = true
      },
    })
    expect(await pusher.pushBlob(app(fake), content)).toBe('uploaded')
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
    expect(content).toMatchObject({ opened: 2, reading: 0 })
    expect(scopes()).toHaveLength(2)
  })

  test('that ends while a connection breaks is replaced, and the upload resumed', async () => {
    const { fake, pusher } = await world({ auth: 'bearer' })
    const content = randomContent(4 * MiB)
    fake.fault(/PUT .*uploads/, { times: 1, cutRequestAfter: 2 * MiB })
    const resumed: number[] = []
    const onRetry = ({ offset }: { offset: number }) => {
      resumed.push(offset)
      fake.revokeTokens()
    }
    expect(await pusher.pushBlob(app(fake), content, { onRetry })).toBe('uploaded')
    expect(fake.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(2)
    expect(resumed).toHaveLength(1)
    expect(fake.pushed('team/app', content.digest)?.equals(content.bytes)).toBe(true)
  })

  test('that may not read where a blob could be mounted from is not needed: the blob is uploaded', async () => {
    const { fake, pusher, scopes } = await world({ auth: 'bearer' })
    fake.fault(/token.*team%2Fbase/, { status: 403 })
    expect(await pusher.pushBlob(app(fake), randomContent(10), { mountFrom: ['team/base', 'team/other'] })).toBe('uploaded')
    expect(scopes().at(-1)).toBe('repository:team/app:pull,push')
  })

  test('that does not allow to push says who could', async () => {
    const { fake, pusher } = await world({ auth: 'bearer' })
    const headers = {
      'www-authenticate': `Bearer realm="${fake.tokenUrl}/token",scope="repository:team/app:pull,push",error="insufficient_scope"`,
    }
    fake.fault(/POST/, { status: 401, headers })
    const error = await failure(pusher.pushBlob(app(fake), randomContent(10)))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_DENIED' })
    expect(error.message).toContain('an account that may push')
  })

  test('is also asked for to cancel an upload', async () => {
    const { fake, pusher } = await world({ auth: 'bearer' })
    const content = { ...randomContent(1000), size: 999 }
    expect(await failure(pusher.pushBlob(app(fake), content))).toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
    expect(fake.openUploads()).toEqual([])
    // What that needed is not taken for what a push needs.
    const before = fake.requests.length
    expect(await pusher.pushBlob(app(fake), randomContent(10))).toBe('uploaded')
    expect(fake.requests.slice(before)).toHaveLength(3)
  })
})

describe('a user name and password', () => {
  test('go with every request to the registry', async () => {
    const { fake, pusher } = await world({ auth: 'basic' })
    expect(await pusher.pushBlob(app(fake), randomContent(10))).toBe('uploaded')
    expect(fake.requests.at(-1)?.headers.authorization).toMatch(/^Basic /)
  })

  test('that are wrong are shown once, and not named in the error', async () => {
    const { fake, pusher } = await world({ auth: 'basic' }, { credentials: async () => ({ username: 'ann', password: 'wrong-one' }) })
    const error = await failure(pusher.pushBlob(app(fake), randomContent(10)))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    expect(JSON.stringify(error)).not.toContain('wrong-one')
    expect(fake.requests.filter(({ headers }) => headers.authorization)).toHaveLength(1)
  })
})
