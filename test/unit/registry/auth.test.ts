import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../src/errors/errors.ts'
import { createAuthorizer } from '../../../src/registry/auth.ts'
import { parseChallenges } from '../../../src/registry/challenge.ts'
import { createHttp } from '../../../src/registry/http.ts'
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../../src/registry/registry-client.ts'
import type { Credential } from '../../../src/registry/types.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../../helpers/fake-registry.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const USERS = { alice: 'pass:word', bob: 'hunter2' }
const BOB: Credential = { username: 'bob', password: 'hunter2' }
const { open } = registryWorld()

async function setup(options: FakeRegistryOptions, clientOptions: RegistryClientOptions = {}) {
  const fake = await startFakeRegistry({ users: USERS, ...options })
  const client = createRegistryClient({ registries: confFor(fake), retry: { attempts: 2, baseDelayMs: 5 }, ...clientOptions })
  open.push(fake, client)
  fake.addImage('team/app', { tag: '1' })
  fake.addImage('team/other', { tag: '1' })
  const pull = (credential?: Credential, repository = 'team/app', from: RegistryClient = client) =>
    from.manifest({ registry: fake.host, repository, tag: '1' }, credential ? { credential } : {})
  return { fake, client, pull }
}
const seen = ({ requests }: FakeRegistry) => requests.map(({ server }) => server)

describe('basic authentication', () => {
  test('answers the challenge, and comes first from then on', async () => {
    const { fake, pull } = await setup({ auth: 'basic' })
    await pull({ username: 'alice', password: 'pass:word' })
    await pull(BOB)
    expect(fake.requests.map(({ headers }) => headers.authorization !== undefined)).toEqual([false, true, true])
  })

  test('without or with wrong credentials says to log in, once', async () => {
    const { fake, pull } = await setup({ auth: 'basic' })
    const anonymous = await failure(pull())
    expect(anonymous).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', kind: 'denied', details: { status: 401, registry: fake.host } })
    expect(anonymous.message).toContain('log in')
    const wrong = await failure(pull({ username: 'alice', password: 'wrong-secret' }))
    expect(wrong.code).toBe('ERR_REGISTRY_UNAUTHORIZED')
    expect(JSON.stringify([anonymous, wrong])).not.toContain('wrong-secret')
    expect(fake.requests.length).toBeLessThanOrEqual(3)
  })
})

describe('bearer tokens', () => {
  test('are fetched with the credentials, for reading this repository', async () => {
    const { fake, pull } = await setup({ auth: 'bearer' })
    await pull(BOB)
    expect(seen(fake)).toEqual(['registry', 'token', 'registry'])
    const url = new URL(fake.requests[1]?.path ?? '', fake.tokenUrl)
    expect([...url.searchParams]).toEqual([
      ['service', 'fake, "quoted"'],
      ['scope', 'repository:team/app:pull'],
      ['account', 'bob'],
    ])
    expect(fake.requests[1]?.headers.authorization).toMatch(/^Basic /)
  })

  test('are remembered, by repository and by identity', async () => {
    const { fake, pull } = await setup({ auth: 'bearer', anonymous: true })
    await pull(BOB)
    await pull(BOB)
    expect(seen(fake)).toEqual(['registry', 'token', 'registry', 'registry'])
    fake.requests.length = 0
    await pull()
    await pull(BOB, 'team/other')
    expect(seen(fake)).toEqual(['token', 'registry', 'token', 'registry'])
  })

  test('are fetched once for many requests at a time, and one abort does not end the others', async () => {
    const { fake, client, pull } = await setup({ auth: 'bearer', anonymous: true })
    fake.fault(/token/, { delayMs: 100 })
    const abort = new AbortController()
    const aborted = failure(client.manifest({ registry: fake.host, repository: 'team/app', tag: '1' }, { signal: abort.signal }))
    const others = [pull(), pull(), pull()]
    setTimeout(() => abort.abort(new Error('enough')), 50)
    expect((await aborted).message).toBe('enough')
    await Promise.all(others)
    expect(seen(fake).filter((server) => server === 'token')).toHaveLength(1)
  })

  test('that the registry no longer takes are replaced once', async () => {
    const { fake, pull } = await setup({ auth: 'bearer', anonymous: true })
    await pull()
    fake.revokeTokens()
    fake.requests.length = 0
    await pull()
    expect(seen(fake)).toEqual(['registry', 'token', 'registry'])
  })

  test('that never satisfy the registry are not fetched forever', async () => {
    const { fake, pull } = await setup({ auth: 'bearer', anonymous: true })
    const challenge = { 'www-authenticate': `Bearer realm="${fake.tokenUrl}/token",service="s"` }
    fake.fault(/manifests/, { status: 401, headers: challenge })
    expect(await failure(pull())).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    expect(seen(fake)).toEqual(['registry', 'token', 'registry'])
  })

  test('get the wider scope that the registry asks for, and keep it', async () => {
    const { fake, pull } = await setup({ auth: 'bearer', anonymous: true })
    const wide = 'repository:team/app:pull repository:base/image:pull'
    const challenge = `Bearer realm="${fake.tokenUrl}/token",service="s",error="insufficient_scope",scope="${wide}"`
    fake.fault(/manifests/, {
      answer: (request, response) => {
        const token = fake.requests.findLast(({ server }) => server === 'token')
        if (request.headers.authorization && token?.path.includes('base%2Fimage')) return void response.end('{}')
        response.writeHead(401, { 'www-authenticate': challenge }).end()
      },
    })
    await pull()
    expect(seen(fake)).toEqual(['registry', 'token', 'registry'])
    expect(new URL(fake.requests[1]?.path ?? '', fake.url).searchParams.getAll('scope')).toEqual(wide.split(' '))
    await pull()
    expect(seen(fake).slice(3)).toEqual(['registry'])
  })

  test('are fetched by POST with an identity token, which goes nowhere else', async () => {
    const { fake, pull } = await setup({ auth: 'bearer', users: { x: 'identity-1' } })
    await pull({ identityToken: 'identity-1' })
    const [, token] = fake.requests
    expect(token).toMatchObject({ server: 'token', method: 'POST', path: '/token' })
    expect(Object.fromEntries(new URLSearchParams(token?.body))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'podlib',
      service: 'fake, "quoted"',
      scope: 'repository:team/app:pull',
      refresh_token: 'identity-1',
    })
    expect(JSON.stringify(fake.requests.filter(({ server }) => server === 'registry'))).not.toContain('identity-1')
  })

  test('that are refused say whether the credentials or anonymous access were', async () => {
    const { pull } = await setup({ auth: 'bearer' })
    expect((await failure(pull())).message).toContain('refused anonymous access; log in or pass credentials')
    const error = await failure(pull({ username: 'bob', password: 'wrong-secret' }))
    expect(error.message).toContain('refused the credentials; log in again')
    expect(isPodlibError(error, 'ERR_REGISTRY_UNAUTHORIZED')).toBe(true)
    expect(JSON.stringify(error)).not.toContain('wrong-secret')
  })

  test('live at least a minute, and end by the clock of this host', async () => {
    const { fake } = await setup({ auth: 'bearer', anonymous: true, tokenLifetimeSeconds: 1 })
    const timeouts = { connectMs: 1000, headersMs: 1000, stallMs: 1000 }
    const http = createHttp({ userAgent: 'test', timeouts, certsDirectories: [], env: {} })
    open.push(http)
    let now = 1_000_000
    const authorizer = createAuthorizer({ http, retry: { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 }, now: () => now })
    const endpoint = { registry: fake.host, repository: 'team/app', insecure: true, mirror: false }
    const request = { endpoint, credential: async () => undefined }
    const challenges = parseChallenges(`Bearer realm="${fake.tokenUrl}/token"`)
    const first = await authorizer.answer(request, challenges, { header: undefined, triedScopes: [] })
    now += 50_000
    expect((await authorizer.begin(request)).header).toBe(first?.header)
    now += 10_000
    expect((await authorizer.begin(request)).header).not.toBe(first?.header)
    expect(seen(fake)).toEqual(['token', 'token'])
  })

  test('are asked for again where the registry now says, when the old token server is gone', async () => {
    const { fake, pull } = await setup({ auth: 'bearer', anonymous: true })
    await pull()
    fake.fault(/token/, { status: 404, times: 1 })
    await pull(undefined, 'team/other')
    expect(seen(fake).slice(3)).toEqual(['token', 'registry', 'token', 'registry'])
  })
})

test('the challenge of /v2/ is used when a 401 has none', async () => {
  const { fake, pull } = await setup({ auth: 'bearer', anonymous: true })
  fake.fault(/manifests/, { status: 401, times: 1 })
  await pull()
  expect(fake.requests.map(({ path }) => path.replace(/\?.*/, ''))).toEqual([
    '/v2/team/app/manifests/1',
    '/v2/',
    '/token',
    '/v2/team/app/manifests/1',
  ])
})

test('the first challenge that podlib knows is answered', async () => {
  const { fake, pull } = await setup({ auth: 'none' })
  const challenges = ['Negotiate abc==, Basic realm="a, b=\\"c\\"", Bearer realm="http://nowhere"']
  fake.fault(/manifests/, { status: 401, headers: { 'www-authenticate': challenges }, times: 1 })
  await pull(BOB)
  expect(fake.requests[1]?.headers.authorization).toMatch(/^Basic /)
})

describe('credentials', () => {
  test('are looked up when a registry asks, once for a while, and again after they were refused', async () => {
    let lookups = 0
    const { fake, pull } = await setup(
      { auth: 'basic' },
      { credentials: async () => ({ username: 'bob', password: ++lookups === 1 ? 'old' : 'hunter2' }) },
    )
    expect(await failure(pull())).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    await pull()
    await pull()
    expect(lookups).toBe(2)
    expect(fake.requests.length).toBeGreaterThan(0)
  })

  test('are not looked up for a registry that asks for none', async () => {
    let lookups = 0
    const { pull } = await setup({ auth: 'none' }, { credentials: async () => void lookups++ as undefined })
    await pull()
    expect(lookups).toBe(0)
  })

  test('with a colon in the user name are refused', async () => {
    const { pull } = await setup({ auth: 'basic' })
    expect(await failure(pull({ username: 'a:b', password: 'c' }))).toMatchObject({ code: 'ERR_CREDENTIALS' })
  })
})
