import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { digestOf } from '../../../src/spec/digest.ts'
import { makeCertificate } from '../../helpers/certificate.ts'
import { confFor, type FakeRegistry } from '../../helpers/fake-registry.ts'
import { collect, failure, registryWorld } from '../../helpers/registry-world.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

/* What a registry may expect of any client, whatever it is asked for. */

const directory = temporaryDirectories()
const { registry, client, open } = registryWorld({ users: { bob: 'hunter2' } })
const BOB = { username: 'bob', password: 'hunter2' }
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'app', tag: '1' })

async function end(server: Server): Promise<void> {
  server.closeAllConnections()
  server.close()
}

describe('Retry-After', () => {
  const tooMany = (value: string) => ({ status: 429, times: 1, headers: { 'retry-after': value } })

  test.each([
    ['a manifest', /manifests/],
    ['a blob', /blobs/],
    ['a list', /tags/],
    ['a token', /token/],
    ['the version', /v2\/$/],
    ['the catalog', /_catalog/],
  ])('is obeyed for %s, but not for longer than allowed', async (_what, path) => {
    const fake = await registry({ auth: 'bearer' })
    const { config } = fake.addImage('app', { tag: '1' })
    const registryClient = client([fake], { retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 250 }, credentials: async () => BOB })
    fake.fault(path, tooMany('3600'))
    const started = performance.now()
    await registryClient.manifest(app(fake))
    await registryClient.blobBytes(app(fake), config)
    await collect(registryClient.tags(app(fake)))
    await registryClient.proveCredential(fake.host, BOB)
    await collect(registryClient.repositories(fake.host))
    const took = performance.now() - started
    expect(took).toBeGreaterThan(240)
    expect(took).toBeLessThan(2500)
  })

  test('is obeyed as a date too', async () => {
    const fake = await registry()
    fake.addImage('app', { tag: '1' })
    const registryClient = client([fake], { retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 60_000 } })
    fake.fault(/manifests/, tooMany(new Date(Date.now() - 60_000).toUTCString()))
    const started = performance.now()
    await registryClient.manifest(app(fake))
    expect(performance.now() - started).toBeLessThan(500)
    fake.fault(/manifests/, tooMany(new Date(Date.now() + 2000).toUTCString()))
    await registryClient.manifest(app(fake))
    expect(performance.now() - started).toBeGreaterThan(900)
  })
})

test('nothing is asked for but bytes as they are', async () => {
  const fake = await registry({ auth: 'bearer', redirectBlobs: true })
  const { config, descriptor } = fake.addImage('app', { tag: '1' })
  const registryClient = client([fake], { credentials: async () => BOB })
  await registryClient.headManifest(app(fake))
  await registryClient.manifest(app(fake))
  await registryClient.blobBytes(app(fake), config)
  expect(await registryClient.blobSize(app(fake), config.digest)).toBe(config.size)
  await collect(registryClient.tags(app(fake)))
  await collect(registryClient.referrers(app(fake), descriptor.digest))
  await registryClient.search(fake.host, { term: 'app', limit: 5 })
  expect(new Set(fake.requests.map(({ server }) => server))).toEqual(new Set(['registry', 'token', 'storage']))
  expect(new Set(fake.requests.map(({ headers }) => headers['accept-encoding']))).toEqual(new Set(['identity']))
  expect(new Set(fake.requests.map(({ headers }) => headers['user-agent']))).toEqual(new Set(['podlib']))
})

test('whether a tag has moved is asked with a HEAD, which has no body and costs nothing of a limit', async () => {
  const fake = await registry()
  const { descriptor } = fake.addImage('app', { tag: '1' })
  expect(await client([fake]).headManifest(app(fake))).toMatchObject({ digest: descriptor.digest, size: descriptor.size })
  expect(fake.requests.map(({ method }) => method)).toEqual(['HEAD'])
})

test('a client certificate of certs.d is shown to the host that it is for', async () => {
  const [server, user, stranger] = [makeCertificate(), makeCertificate('user'), makeCertificate('stranger')]
  const manifest = '{"schemaVersion":2}'
  const seen: (string | undefined)[] = []
  const guarded = createTlsServer({ ...server, requestCert: true, ca: [user.cert], rejectUnauthorized: true }, (request, response) => {
    const { subject } = (request.socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } }).getPeerCertificate()
    seen.push(subject?.CN)
    response.setHeader('docker-content-digest', digestOf(manifest))
    response.end(manifest)
  })
  guarded.on('tlsClientError', () => {})
  await once(guarded.listen(0, '127.0.0.1'), 'listening')
  open.push({ close: () => end(guarded) })
  const host = `127.0.0.1:${(guarded.address() as AddressInfo).port}`
  const certsFor = (pair: typeof user | undefined) => {
    const certs = directory()
    mkdirSync(join(certs, host))
    writeFileSync(join(certs, host, 'ca.crt'), server.cert)
    if (pair)
      for (const [name, text] of [
        ['client.cert', pair.cert],
        ['client.key', pair.key],
      ] as const)
        writeFileSync(join(certs, host, name), text)
    return certs
  }
  const target = { registry: host, repository: 'app', tag: '1' }
  expect((await client([], { certsDirectories: [certsFor(user)] }).manifest(target)).digest).toBe(digestOf(manifest))
  expect(seen).toEqual(['user'])
  for (const pair of [undefined, stranger]) {
    expect(await failure(client([], { certsDirectories: [certsFor(pair)], retry: { attempts: 1 } }).manifest(target))).toMatchObject({
      code: expect.stringMatching(/^ERR_REGISTRY_(TLS|UNREACHABLE)$/),
    })
  }
  expect(seen).toEqual(['user'])
})

describe('a proxy', () => {
  /** Takes what it gets to a registry on loopback, whatever host was asked for. */
  async function proxyTo(fake: FakeRegistry) {
    const seen: { url: string; headers: IncomingHttpHeaders }[] = []
    const port = Number(fake.host.split(':')[1])
    const proxy = createServer((request, response) => {
      seen.push({ url: request.url ?? '', headers: request.headers })
      const { pathname, search } = new URL(request.url ?? '', 'http://x')
      const onward = httpRequest({ port, host: '127.0.0.1', path: pathname + search, method: request.method, headers: request.headers })
      onward.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
      request.pipe(onward)
    })
    proxy.on('connect', (request, socket) => {
      seen.push({ url: request.url ?? '', headers: request.headers })
      // Speaks the protocol behind the tunnel itself.
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      proxy.emit('connection', socket)
    })
    await once(proxy.listen(0, '127.0.0.1'), 'listening')
    open.push({ close: () => end(proxy) })
    const address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`
    return { seen, address }
  }
  const named = (fake: FakeRegistry) => {
    const name = `registry.example:${fake.host.split(':')[1]}`
    return { name, registries: { ...confFor(fake), registries: [{ ...fake.conf, prefix: name, location: name }] } }
  }

  test('is used for plain HTTP, and its password reaches no registry (CVE-2024-24758)', async () => {
    const fake = await registry({ auth: 'basic' })
    fake.addImage('app', { tag: '1' })
    const { seen, address } = await proxyTo(fake)
    const { name, registries } = named(fake)
    const env = { HTTP_PROXY: `http://user:proxy-secret@${address}`, HTTPS_PROXY: `http://user:proxy-secret@127.0.0.1:9` }
    const registryClient = client([], { registries, env, credentials: async () => BOB })
    await registryClient.manifest({ registry: name, repository: 'app', tag: '1' })
    expect(seen.length).toBeGreaterThan(0)
    const shown = Buffer.from('user:proxy-secret').toString('base64')
    expect(seen[0]?.headers['proxy-authorization']).toBe(`Basic ${shown}`)
    expect(fake.requests.every(({ headers }) => !JSON.stringify(headers.authorization ?? '').includes(shown))).toBe(true)
    expect(fake.requests.at(-1)?.headers.authorization).toBe(`Basic ${Buffer.from('bob:hunter2').toString('base64')}`)
  })

  test('is left out for hosts of NO_PROXY', async () => {
    const fake = await registry()
    fake.addImage('app', { tag: '1' })
    const { seen, address } = await proxyTo(fake)
    const { name, registries } = named(fake)
    const env = { HTTP_PROXY: address, HTTPS_PROXY: address, NO_PROXY: 'other.example,.example' }
    const direct = client([], { registries, env, retry: { attempts: 1 } })
    // Nobody has that name: it could only be reached through the proxy.
    expect(await failure(direct.manifest({ registry: name, repository: 'app', tag: '1' }))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    })
    expect(seen).toEqual([])
  })

  test('that is not there is told from a registry that is not there', async () => {
    const fake = await registry()
    const { name, registries } = named(fake)
    const error = await failure(
      client([], {
        registries,
        env: { HTTP_PROXY: 'http://127.0.0.1:9', HTTPS_PROXY: 'http://127.0.0.1:9' },
        retry: { attempts: 1 },
      }).manifest({
        registry: name,
        repository: 'app',
        tag: '1',
      }),
    )
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE', details: { systemCode: 'ECONNREFUSED' } })
    expect(error.message).toContain('127.0.0.1:9')
  })
})
