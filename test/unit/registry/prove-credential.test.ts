import { describe, expect, test } from '@jest/globals'
import { registryEndpoint } from '../../../src/registry/endpoints.ts'
import { EMPTY_REGISTRIES_CONF } from '../../../src/registry/registries-conf.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld({ users: { bob: 'hunter2' } })
const BOB = { username: 'bob', password: 'hunter2' }
const WRONG = { username: 'bob', password: 'not-the-secret' }

describe.each(['basic', 'bearer'] as const)('a credential for a registry with %s authentication', (auth) => {
  test('is shown to it, and found good', async () => {
    const fake = await registry({ auth })
    expect(await client([fake]).proveCredential(fake.host, BOB)).toBe(true)
    const paths = fake.requests.map(({ path }) => path.replace(/\?.*/, ''))
    expect(paths).toEqual(auth === 'basic' ? ['/v2/', '/v2/'] : ['/v2/', '/token', '/v2/'])
  })

  test('is found wrong, which the error says without it', async () => {
    const fake = await registry({ auth })
    const error = await failure(client([fake]).proveCredential(fake.host, WRONG))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', kind: 'denied', details: { registry: fake.host } })
    expect(error.message).toMatch(/refuses the user name or password/)
    expect(JSON.stringify([error, String(error.cause)])).not.toContain('not-the-secret')
  })

  test('is not found good because another one was', async () => {
    const fake = await registry({ auth })
    const registryClient = client([fake], { credentials: async () => BOB })
    fake.addImage('app', { tag: '1' })
    await registryClient.manifest({ registry: fake.host, repository: 'app', tag: '1' })
    await registryClient.proveCredential(fake.host, BOB)
    expect(await failure(registryClient.proveCredential(fake.host, WRONG))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
  })
})

test('an identity token is shown to the token server only', async () => {
  const fake = await registry({ auth: 'bearer', users: { x: 'identity-1' } })
  expect(await client([fake]).proveCredential(fake.host, { identityToken: 'identity-1' })).toBe(true)
  expect(fake.requests[1]).toMatchObject({ server: 'token', method: 'POST' })
  expect(new URLSearchParams(fake.requests[1]?.body).has('scope')).toBe(false)
  expect(JSON.stringify(fake.requests.filter(({ server }) => server === 'registry'))).not.toContain('identity-1')
  const wrong = await failure(client([fake]).proveCredential(fake.host, { identityToken: 'identity-2' }))
  expect(wrong.message).toMatch(/refuses the identity token/)
})

test('a registry that lets everybody in proves nothing, and sees nothing', async () => {
  const fake = await registry()
  expect(await client([fake]).proveCredential(fake.host, BOB)).toBe(false)
  expect(fake.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
})

test('what is no registry is called that', async () => {
  const fake = await registry()
  fake.fault(/v2/, { status: 404 })
  expect(await failure(client([fake]).proveCredential(fake.host, BOB))).toMatchObject({
    code: 'ERR_REGISTRY_PROTOCOL',
    message: expect.stringContaining('container registry'),
  })
  expect(await failure(client([fake]).proveCredential(`${fake.host}/team`, BOB))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
})

test('a registry in trouble is asked again', async () => {
  const fake = await registry({ auth: 'basic' })
  fake.fault(/v2/, { status: 503, times: 1 })
  expect(await client([fake]).proveCredential(fake.host, BOB)).toBe(true)
})

test('credentials and tokens are looked up anew after they were forgotten', async () => {
  const fake = await registry({ auth: 'bearer', anonymous: true })
  fake.addImage('app', { tag: '1' })
  let lookups = 0
  const registryClient = client([fake], {
    credentials: async () => {
      lookups++
      return BOB
    },
  })
  const pull = () => registryClient.manifest({ registry: fake.host, repository: 'app', tag: '1' })
  await pull()
  await pull()
  expect(lookups).toBe(1)
  registryClient.forgetCredentials()
  await pull()
  expect(lookups).toBe(2)
  expect(fake.requests.filter(({ server }) => server === 'token')).toHaveLength(2)
})

describe('the endpoint of a registry', () => {
  const entry = { prefix: '', location: '', insecure: false, blocked: false, mirrors: [] }
  const of = (host: string, ...registries: Partial<typeof entry>[]) =>
    registryEndpoint({ ...EMPTY_REGISTRIES_CONF, registries: registries.map((one) => ({ ...entry, ...one })) }, host)

  test('is the registry itself, whatever its names are rewritten to', () => {
    const conf = { prefix: 'a.com', location: 'b.com', mirrors: [{ location: 'c.com', insecure: false, pullFromMirror: 'all' }] as never }
    expect(of('a.com', conf)).toEqual({ registry: 'a.com', repository: '', insecure: false, mirror: false })
    expect(of('index.docker.io')).toMatchObject({ registry: 'docker.io' })
  })

  test('is insecure when its entry says so, or the place that it is', () => {
    expect(of('a.com', { prefix: 'a.com', location: 'a.com', insecure: true }).insecure).toBe(true)
    expect(of('b.com', { prefix: 'a.com', location: 'b.com/copy', insecure: true }).insecure).toBe(true)
    const mirrors = [{ location: 'c.com/copy', insecure: true, pullFromMirror: 'all' }] as never
    expect(of('c.com', { prefix: 'a.com', location: 'a.com', mirrors }).insecure).toBe(true)
    expect(of('c.com.evil', { prefix: 'a.com', location: 'a.com', mirrors }).insecure).toBe(false)
    expect(of('b.com', { prefix: 'b.com', location: 'b.com' }, { prefix: 'a.com', location: 'b.com', insecure: true }).insecure).toBe(false)
  })
})
