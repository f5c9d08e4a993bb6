import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { createRegistryClient, type RegistryClientOptions } from '../../../src/registry/registry-client.ts'
import { certsDirectories, readTlsFiles } from '../../../src/registry/tls.ts'
import { makeCertificate } from '../../helpers/certificate.ts'
import { confFor, type FakeRegistry, startFakeRegistry } from '../../helpers/fake-registry.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const { open } = registryWorld()

function pull(fake: FakeRegistry, options: RegistryClientOptions = {}) {
  const client = createRegistryClient({ retry: { attempts: 2, baseDelayMs: 5 }, ...options })
  open.push(client)
  return client.manifest({ registry: fake.host, repository: 'app', tag: '1' })
}
async function tlsRegistry(): Promise<{ fake: FakeRegistry; certs: string; hostDirectory: string; cert: string }> {
  const certificate = makeCertificate()
  const fake = await startFakeRegistry({ certificate })
  open.push(fake)
  fake.addImage('app', { tag: '1' })
  const certs = directory()
  const hostDirectory = join(certs, fake.host)
  return { fake, certs, hostDirectory, cert: certificate.cert }
}

describe('TLS', () => {
  test('trusts the CA in certs.d, and nothing else that is self-signed', async () => {
    const { fake, certs, hostDirectory, cert } = await tlsRegistry()
    const error = await failure(pull(fake, { certsDirectories: [certs] }))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_TLS', kind: 'denied' })
    expect(error.message).toContain(`certs.d/${fake.host}`)
    expect(fake.requests).toEqual([])
    mkdirSync(hostDirectory)
    writeFileSync(join(hostDirectory, 'ca.crt'), cert)
    await expect(pull(fake, { certsDirectories: [directory(), certs] })).resolves.toMatchObject({ endpoint: { registry: fake.host } })
  })

  test('accepts any certificate of an insecure registry, over TLS still', async () => {
    const { fake } = await tlsRegistry()
    await pull(fake, { registries: confFor(fake) })
    expect(fake.requests).toHaveLength(1)
  })

  test('never falls back to plain HTTP unless the registry is insecure', async () => {
    const fake = await startFakeRegistry()
    open.push(fake)
    fake.addImage('app', { tag: '1' })
    expect(await failure(pull(fake))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
    expect(fake.requests).toEqual([])
    await pull(fake, { registries: confFor(fake) })
  })

  test('names the directory whose certificates cannot be used', async () => {
    const { fake, certs, hostDirectory } = await tlsRegistry()
    mkdirSync(hostDirectory)
    writeFileSync(join(hostDirectory, 'x.cert'), 'no certificate')
    expect((await failure(pull(fake, { certsDirectories: [certs] }))).message).toContain('x.cert has no .key file')
    writeFileSync(join(hostDirectory, 'x.key'), 'no key')
    expect((await failure(pull(fake, { certsDirectories: [certs] }))).message).toContain(`certificates of ${hostDirectory} cannot be used`)
  })
})

describe('certs.d', () => {
  test('is searched for the user first', () => {
    const system = ['/etc/containers/certs.d', '/etc/docker/certs.d']
    expect(certsDirectories({}, '/home/a')).toEqual(['/home/a/.config/containers/certs.d', ...system])
    expect(certsDirectories({ XDG_CONFIG_HOME: '/cfg' }, '/home/a')).toEqual(['/cfg/containers/certs.d', ...system])
  })

  test('gives CAs and client pairs of the first directory that has the host', async () => {
    const [first, second] = [directory(), directory()]
    for (const [parent, name] of [
      [first, 'a'],
      [second, 'b'],
    ] as const) {
      mkdirSync(join(parent, 'example.com:5000'))
      for (const file of ['ca.crt', 'client.cert', 'client.key', 'README'])
        writeFileSync(join(parent, 'example.com:5000', file), `${name} ${file}`)
    }
    expect(await readTlsFiles('example.com:5000', [join(first, 'absent'), second, first])).toEqual({
      directory: join(second, 'example.com:5000'),
      ca: ['b ca.crt'],
      clients: [{ cert: 'b client.cert', key: 'b client.key' }],
    })
    expect(await readTlsFiles('example.com', [first, second])).toBeUndefined()
    expect(await readTlsFiles('..', [join(first, 'example.com:5000')])).toBeUndefined()
  })

  test('refuses a key without certificate', async () => {
    const parent = directory()
    mkdirSync(join(parent, 'example.com'))
    writeFileSync(join(parent, 'example.com', 'client.key'), 'x')
    await expect(readTlsFiles('example.com', [parent])).rejects.toMatchObject({ code: 'ERR_REGISTRY_TLS' })
  })
})

test('a proxy gets a tunnel for https and sees nothing of the request', async () => {
  const { fake, certs, hostDirectory, cert } = await tlsRegistry()
  mkdirSync(hostDirectory)
  writeFileSync(join(hostDirectory, 'ca.crt'), cert)
  const tunnels: string[] = []
  const proxy = createServer((_request, response) => response.writeHead(500).end())
  const sockets: Socket[] = []
  proxy.on('connect', (request, socket: Socket) => {
    tunnels.push(request.url ?? '')
    const upstream = connect(Number(fake.host.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      upstream.pipe(socket)
      socket.pipe(upstream)
    })
    for (const end of [upstream, socket]) end.on('error', () => {})
    sockets.push(upstream, socket)
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  open.push({
    close: async () => {
      for (const socket of sockets) socket.destroy()
      proxy.closeAllConnections()
      proxy.close()
    },
  })
  const HTTPS_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  // Loopback is never proxied, so the registry gets another name.
  const port = fake.host.split(':')[1]
  const name = `registry.test:${port}`
  mkdirSync(join(certs, name))
  writeFileSync(join(certs, name, 'ca.crt'), makeCertificate('registry.test').cert)
  const client = createRegistryClient({ certsDirectories: [certs], env: { HTTPS_PROXY }, retry: { attempts: 1 } })
  open.push(client)
  // The certificate is for localhost, so the tunnel works and TLS inside it fails: nothing was trusted on the proxy's word.
  expect(await failure(client.manifest({ registry: name, repository: 'app', tag: '1' }))).toMatchObject({ code: 'ERR_REGISTRY_TLS' })
  expect(tunnels).toEqual([name])
  const insecure = { ...confFor(fake), registries: [{ ...fake.conf, prefix: name, location: name }] }
  const trusting = createRegistryClient({ registries: insecure, env: { HTTPS_PROXY } })
  open.push(trusting)
  expect((await trusting.manifest({ registry: name, repository: 'app', tag: '1' })).bytes.length).toBeGreaterThan(0)
})

test('using the client leaves the dispatcher of the app alone, and no handle open', async () => {
  const fake = await startFakeRegistry()
  open.push(fake)
  fake.addImage('app', { tag: '1' })
  const program = `
    import { createRegistryClient } from ${JSON.stringify(join(process.cwd(), 'src/registry/registry-client.ts'))}
    const key = Symbol.for('undici.globalDispatcher.1')
    const own = { dispatch() { throw new Error('used') } }
    globalThis[key] = own
    const registries = ${JSON.stringify(confFor(fake))}
    const client = createRegistryClient({ registries })
    await client.manifest({ registry: ${JSON.stringify(fake.host)}, repository: 'app', tag: '1' })
    await client.close()
    console.log(globalThis[key] === own, process.listenerCount('exit'), process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap').length)
  `
  const child = execFileAsync(process.execPath, ['--input-type=module', '--no-warnings', '-e', program])
  expect((await child).trim()).toBe('true 0 0')
})

async function execFileAsync(file: string, args: string[]): Promise<string> {
  const { execFile } = await import('node:child_process')
  return new Promise((resolve, reject) =>
    execFile(file, args, { timeout: 20_000 }, (error, stdout) => (error ? reject(error) : resolve(stdout))),
  )
}

test('importing the client loads no HTTP library', () => {
  const url = join(process.cwd(), 'src/registry/registry-client.ts')
  const program = `await import(${JSON.stringify(url)}); console.log(Symbol.for('undici.globalDispatcher.2') in globalThis)`
  const output = execFileSync(process.execPath, ['--input-type=module', '--no-warnings', '-e', program], { encoding: 'utf8' })
  expect(output.trim()).toBe('false')
})
