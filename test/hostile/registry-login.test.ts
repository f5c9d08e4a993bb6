import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { searchImages } from '../../src/image/search.ts'
import type { Context } from '../../src/lifecycle/context.ts'
import { createCredentialStore } from '../../src/registry/credentials.ts'
import type { RegistryClient, RegistryClientOptions } from '../../src/registry/registry-client.ts'
import { type Certificate, makeCertificate } from '../helpers/certificate.ts'
import { credentialHome, DOCKER_FILE, entry, RUNTIME_FILE } from '../helpers/credential-home.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions } from '../helpers/fake-registry.ts'
import { collect, failure, registryWorld } from '../helpers/registry-world.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'

/* Registries that lie in wait for a login or a search. */

const BOB = { username: 'bob', password: 'hunter2' }
const IDENTITY = { identityToken: 'refresh-me' }
const directory = temporaryDirectories()
const home = credentialHome()
const world = registryWorld({ users: { bob: 'hunter2' } })
const client = (registries: readonly FakeRegistry[], options: RegistryClientOptions = {}) =>
  world.client(registries, { retry: { attempts: 1 }, ...options })
const query = { term: 'app', limit: 50 }

function secretsAt(fake: FakeRegistry): unknown[] {
  return fake.requests.filter(
    ({ headers, body, path }) => headers.authorization ?? headers.cookie ?? /hunter2|refresh-me/.test(body + path),
  )
}

/** A registry with TLS that the client trusts. */
async function trusted(options: FakeRegistryOptions = {}): Promise<{ fake: FakeRegistry; registryClient: RegistryClient }> {
  const certificate: Certificate = makeCertificate()
  const fake = await world.registry({ certificate, ...options })
  const certs = directory()
  mkdirSync(join(certs, fake.host))
  writeFileSync(join(certs, fake.host, 'ca.crt'), certificate.cert)
  return { fake, registryClient: client([], { certsDirectories: [certs] }) }
}

describe('a login shows the credential to nobody but the registry', () => {
  test('not to a token server on plain HTTP (CVE-2019-10214)', async () => {
    const { fake, registryClient } = await trusted()
    const plain = await world.registry()
    fake.fault(/v2/, { status: 401, headers: { 'www-authenticate': `Bearer realm="${plain.tokenUrl}/token"` } })
    for (const credential of [BOB, IDENTITY]) {
      expect(await failure(registryClient.proveCredential(fake.host, credential))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    }
    expect(plain.requests).toEqual([])
  })

  test('not over TLS that nobody vouches for (CVE-2025-6032, CVE-2025-47279)', async () => {
    const impostor = await world.registry({ certificate: makeCertificate(), auth: 'basic' })
    expect(await failure(client([]).proveCredential(impostor.host, BOB))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(await failure(client([]).search(impostor.host, query))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(await failure(collect(client([]).repositories(impostor.host)))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(impostor.requests).toEqual([])
  })

  test('not in the clear, unless the registry is configured so', async () => {
    const plain = await world.registry({ auth: 'basic' })
    expect(await failure(client([]).proveCredential(plain.host, BOB))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(plain.requests).toEqual([])
  })

  test('not to where it redirects (CVE-2022-31151, CVE-2023-45143, CVE-2024-24758, CVE-2024-30260)', async () => {
    const [fake, evil] = [await world.registry({ auth: 'basic' }), await world.registry({ auth: 'basic' })]
    fake.fault(/v2/, {
      answer: (request, response) => {
        if (!request.headers.authorization) return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
        response.writeHead(307, { location: `${evil.url}/v2/`, 'set-cookie': 'session=1' }).end()
      },
    })
    await failure(client([fake, evil]).proveCredential(fake.host, BOB))
    expect(evil.requests.length).toBeGreaterThan(0)
    expect(secretsAt(evil)).toEqual([])
  })

  test('not to a mirror, nor to another place that its names are rewritten to', async () => {
    const [named, mirror, other] = [await world.registry({ auth: 'basic' }), await world.registry(), await world.registry()]
    const mirrors = [{ location: mirror.host, insecure: true, pullFromMirror: 'all' as const }]
    const registries = { ...confFor(named), registries: [{ ...named.conf, location: other.host, mirrors }] }
    expect(await client([], { registries }).proveCredential(named.host, BOB)).toBe(true)
    await client([], { registries }).search(named.host, query, { credential: BOB })
    expect([mirror.requests, other.requests]).toEqual([[], []])
  })

  test('not in an error', async () => {
    const fake = await world.registry({ auth: 'bearer' })
    fake.fault(/token/, { status: 400, body: JSON.stringify({ errors: [{ code: 'X', message: 'no' }] }) })
    const error = await failure(client([fake]).proveCredential(fake.host, BOB))
    expect(JSON.stringify([error, error.cause])).not.toMatch(/hunter2|Ym9iOmh1bnRlcjI/)
  })
})

describe('a credential is kept where it belongs', () => {
  test('and not in a file, or for another registry, when its helper is missing (CVE-2021-41092)', async () => {
    home.write(RUNTIME_FILE, { credHelpers: { 'registry.example': 'missing' } })
    home.write(DOCKER_FILE, { auths: { 'https://index.docker.io/v1/': entry('hub') }, credsStore: 'missing' })
    const store = createCredentialStore(home.options())
    expect(await failure(store.login('registry.example', BOB))).toMatchObject({ code: 'ERR_CREDENTIALS', details: { helper: 'missing' } })
    expect(await failure(store.lookup({ registry: 'registry.example', repository: 'x' }))).toMatchObject({ code: 'ERR_CREDENTIALS' })
    expect(readFileSync(home.path(RUNTIME_FILE), 'utf8') + readFileSync(home.path(DOCKER_FILE), 'utf8')).not.toContain(
      entry('bob', 'hunter2').auth,
    )
  })

  test.each(['../../evil', 'a;touch evil', '$(touch evil)', '-x', '/bin/sh'])('and no helper named %j is run for it', async (name) => {
    home.write(RUNTIME_FILE, { credsStore: name })
    home.write('evil', '#!/bin/sh\ntouch "$HOME/pwned"\n')
    const store = createCredentialStore(home.options())
    for (const work of [() => store.login('a.com', BOB), () => store.logout('a.com'), () => store.logoutAll(), () => store.list()]) {
      expect(await failure(work())).toMatchObject({ code: 'ERR_CREDENTIALS' })
    }
    expect(existsSync(home.path('pwned'))).toBe(false)
  })

  test('and a helper gets it without the secrets of the program around it', async () => {
    home.helper('spy', 'env > "$HOME/env"; cat > /dev/null')
    home.write(RUNTIME_FILE, { credsStore: 'spy' })
    const { env, ...options } = home.options()
    await createCredentialStore({ ...options, env: { ...env, API_KEY: 'secret-of-the-app' } }).login('a.com', BOB)
    expect(home.read('env')).not.toMatch(/secret-of-the-app|hunter2/)
  })

  test('and what names it cannot reach the prototype of an object', async () => {
    home.write(RUNTIME_FILE, '{"auths":{"__proto__":{"auth":"eDp5"}}}')
    const store = createCredentialStore({ ...home.options(), given: {} })
    await failure(store.list())
    expect(({} as Record<string, unknown>).auth).toBeUndefined()
  })
})

describe('a search', () => {
  const endless: readonly RegExp[] = [/v1\/search/, /_catalog/]
  test.each(endless)('ends where an answer to %s does not (CVE-2020-1702)', async (path) => {
    const fake = await world.registry()
    fake.fault(/search/, { status: 404 })
    fake.fault(path, { endless: true, status: 200 })
    const before = process.memoryUsage().rss
    expect(await failure(client([fake]).search(fake.host, query))).toMatchObject({ code: 'ERR_REGISTRY_BODY_TOO_LARGE' })
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
  })

  test('and a login end where the version of the API does not (CVE-2020-1702)', async () => {
    const fake = await world.registry()
    fake.fault(/v2/, { endless: true })
    expect(await client([fake]).proveCredential(fake.host, BOB)).toBe(false)
  })

  test('ends where the catalog has no end or leads in a circle (CVE-2023-2253)', async () => {
    const fake = await world.registry()
    const body = '{"repositories":["app"]}'
    fake.fault(/_catalog/, {
      answer: (_request, response) => {
        response.setHeader('link', `</v2/_catalog?last=${fake.requests.length}>; rel="next"`)
        response.end('{"repositories":[]}')
      },
    })
    expect(await failure(client([fake], { maxPages: 20 }).search(fake.host, query))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    expect(fake.requests.filter(({ path }) => path.includes('_catalog'))).toHaveLength(20)
    fake.fault(/_catalog/, { body, headers: { link: '</v2/_catalog?last=app>; rel="next"' } })
    expect((await failure(client([fake]).search(fake.host, query))).message).toContain('circle')
  })

  test('reads the next page from the same host, whatever the link says', async () => {
    const [fake, evil] = [await world.registry({ auth: 'basic' }), await world.registry()]
    fake.addImage('app', { tag: '1' })
    fake.fault(/_catalog\?n/, { headers: { link: `<${evil.url}/v2/_catalog?last=z>; rel="next"` } })
    await client([fake]).search(fake.host, query, { credential: BOB })
    expect(evil.requests).toEqual([])
  })

  test.each(['gzip', 'br', Array.from({ length: 1000 }, () => 'gzip').join(', ')])(
    'does not decode %s (CVE-2026-22036)',
    async (encoding) => {
      const fake = await world.registry({ index: [] })
      fake.fault(/search|_catalog/, { headers: { 'content-encoding': encoding }, status: 200, body: '' })
      expect(await failure(client([fake]).search(fake.host, query))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
    },
  )

  test.each(['a b', 'a&n=9999', 'a#x', 'a%0d%0aX-Evil: 1', 'a\r\nX-Evil: 1', '../../v2/secret', 'ü', '\ud800'])(
    'for %j asks for that and nothing else (CVE-2022-35948, CVE-2022-31150)',
    async (term) => {
      const fake = await world.registry({ index: [] })
      await client([fake]).search(fake.host, { term, limit: 5 })
      const [request] = fake.requests
      const url = new URL(request?.path ?? '', fake.url)
      expect([url.pathname, [...url.searchParams]]).toEqual([
        '/v1/search',
        [
          ['q', term.toWellFormed()],
          ['n', '5'],
        ],
      ])
      expect(request?.headers).not.toHaveProperty('x-evil')
    },
  )

  test('gives no names that are none, and no control characters', async () => {
    const fake = await world.registry({
      index: [
        { name: 'app\u001b[2J', description: '' },
        { name: '../../app', description: '' },
        { name: 'app:tag', description: '' },
        { name: `app@sha256:${'a'.repeat(64)}`, description: '' },
        { name: 5, description: 'app' },
        { name: 'APP app', description: '' },
        { name: 'app', description: `\u001b[31mred\u202e\r\n${'x'.repeat(5000)}`, star_count: 'many', is_official: 'yes' },
        { name: 'app/negative', description: '', star_count: -5 },
      ],
    })
    const context = { registry: async () => client([fake]), registriesConf: async () => confFor(fake) } as unknown as Context
    const { results } = await searchImages(context, 'app', { registries: [fake.host] })
    expect(results.map(({ name, stars, isOfficial }) => [name, stars, isOfficial])).toEqual([
      [`${fake.host}/app`, 0, false],
      [`${fake.host}/app/negative`, 0, false],
    ])
    expect(results[0]?.description).toMatch(/^red x{990,}$/)
  })
})

test('HTTP is spoken by a library without the known holes (CVE-2025-22150, CVE-2025-47279, CVE-2026-1525, CVE-2026-1527, CVE-2026-22036)', () => {
  const { version } = createRequire(import.meta.url)('undici/package.json') as { version: string }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  expect(major > 7 || (major === 7 && minor >= 24)).toBe(true)
})
