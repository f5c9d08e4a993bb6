import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, test } from '@jest/globals'
import type { CredentialStoreOptions } from '../../../src/registry/credential-places.ts'
import { createCredentialStore } from '../../../src/registry/credentials.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const base64 = (text: string) => Buffer.from(text).toString('base64')
const entry = (user: string, password = 'secret') => ({ auth: base64(`${user}:${password}`) })

let home: string
let options: CredentialStoreOptions
beforeEach(() => {
  home = directory()
  options = { home, uid: 1000, env: { XDG_RUNTIME_DIR: join(home, 'run'), PATH: `relative:${join(home, 'bin')}:/usr/bin:/bin` } }
})

const RUNTIME = 'run/containers/auth.json'
function write(path: string, document: unknown): string {
  const full = join(home, path)
  mkdirSync(dirname(full), { recursive: true })
  writeFileSync(full, typeof document === 'string' ? document : JSON.stringify(document))
  return full
}
function helper(name: string, script: string): void {
  chmodSync(write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`), 0o755)
}
/** The files that are searched, in order. */
async function searched(over: Partial<CredentialStoreOptions> = {}): Promise<readonly string[]> {
  return (await createCredentialStore({ ...options, ...over }).explainCredential({ registry: 'none.example', repository: 'x' })).searched
}
async function user(name: string, over: Partial<CredentialStoreOptions> = {}): Promise<string | undefined> {
  const slash = name.indexOf('/')
  const credential = await createCredentialStore({ ...options, ...over }).lookup({
    registry: name.slice(0, slash),
    repository: name.slice(slash + 1),
  })
  return (
    credential && ('identityToken' in credential ? `token ${credential.identityToken}` : `${credential.username}:${credential.password}`)
  )
}

describe('credential files', () => {
  test('are searched in order, the first that matches wins', async () => {
    expect(await searched()).toEqual(
      [RUNTIME, '.config/containers/auth.json', '.docker/config.json', '.dockercfg'].map((path) => join(home, path)),
    )
    expect((await searched({ env: {} }))[0]).toBe('/run/containers/1000/auth.json')
    write('.dockercfg', { 'a.com': entry('legacy'), 'b.com': entry('legacy') })
    write('.docker/config.json', { auths: { 'b.com': entry('docker'), 'c.com': entry('docker') } })
    write(RUNTIME, { auths: { 'c.com': entry('runtime') } })
    expect([await user('a.com/x'), await user('b.com/x'), await user('c.com/x'), await user('d.com/x')]).toEqual([
      'legacy:secret',
      'docker:secret',
      'runtime:secret',
      undefined,
    ])
  })

  test('given explicitly is the only one; REGISTRY_AUTH_FILE likewise', async () => {
    write(RUNTIME, { auths: { 'a.com': entry('runtime') } })
    const authFile = write('mine.json', { auths: { 'b.com': entry('mine') } })
    expect(await user('b.com/x', { authFile })).toBe('mine:secret')
    expect(await user('a.com/x', { authFile })).toBeUndefined()
    expect(await user('b.com/x', { env: { REGISTRY_AUTH_FILE: authFile } })).toBe('mine:secret')
  })

  test('match by the most specific namespace, at slashes only', async () => {
    write(RUNTIME, {
      auths: { 'a.com': entry('host'), 'a.com/team': entry('team'), 'a.com/team/app': entry('app'), 'a.com:5000': entry('port') },
    })
    expect(await user('a.com/team/app')).toBe('app:secret')
    expect(await user('a.com/team/app/sub')).toBe('app:secret')
    expect(await user('a.com/team/apple')).toBe('team:secret')
    expect(await user('a.com/teams/app')).toBe('host:secret')
    expect(await user('a.com:5000/team/app')).toBe('port:secret')
    expect(await user('sub.a.com/team/app')).toBeUndefined()
  })

  test("match by the forms that Docker has used, but never by another repository's namespace", async () => {
    write(RUNTIME, {
      auths: { 'https://index.docker.io/v1/': entry('hub'), 'https://b.com/v2/': entry('url'), 'c.com/team': entry('team') },
    })
    expect(await user('docker.io/library/alpine')).toBe('hub:secret')
    expect(await user('b.com/x')).toBe('url:secret')
    expect(await user('c.com/other')).toBeUndefined()
  })

  test('hold passwords with colons, trailing NULs and identity tokens', async () => {
    write(RUNTIME, {
      auths: {
        'a.com': { auth: base64('u:p:q\0\0') },
        'b.com': { auth: base64('00000000:'), identitytoken: 'id' },
        'c.com': { username: 'plain', password: 'text' },
        'd.com': {},
      },
    })
    expect([await user('a.com/x'), await user('b.com/x'), await user('c.com/x'), await user('d.com/x')]).toEqual([
      'u:p:q',
      'token id',
      'plain:text',
      undefined,
    ])
  })

  test.each([
    ['no JSON', '{"auths": {"a.com": {"auth": "c2VjcmV0"'],
    ['an array', '[]'],
    ['auths that are text', '{"auths":{"a.com":"c2VjcmV0"}}'],
    ['auth without colon', '{"auths":{"a.com":{"auth":"c2VjcmV0"}}}'],
    ['a key twice', '{"auths":{"a.com":{"auth":"c2VjcmV0"},"a.com":{}}}'],
    ['a helper that is no name', '{"credHelpers":{"a.com":7}}'],
  ])('with %s are refused by name, without what is in them', async (_name, text) => {
    const path = write(RUNTIME, text)
    await expect(user('a.com/x')).rejects.toMatchObject({ code: 'ERR_CREDENTIALS', message: expect.stringContaining(path) })
    await expect(user('a.com/x')).rejects.not.toThrow(/c2VjcmV0|secret/)
  })
})

describe('credential helpers', () => {
  test('are asked for their host, with a small environment, and come before auths', async () => {
    helper(
      'test',
      'read server; env > "$HOME/env"; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"from-$1\\",\\"Secret\\":\\"s\\"}"',
    )
    write(RUNTIME, { auths: { 'a.com/team': entry('file') }, credHelpers: { 'a.com': 'test' } })
    const env = { ...options.env, APP_SECRET: 'x', AWS_SECRET_ACCESS_KEY: 'y' }
    expect(await user('a.com/team/app', { env })).toBe('from-get:s')
    const passed = readFileSync(join(home, 'env'), 'utf8')
    expect(passed).toContain(`HOME=${home}`)
    expect(passed).not.toMatch(/APP_SECRET|AWS_SECRET_ACCESS_KEY/)
    expect(await user('b.com/x', { env })).toBeUndefined()
  })

  test("give identity tokens, and get Docker Hub's old name", async () => {
    helper('test', 'read server; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$server\\"}"')
    write(RUNTIME, { credsStore: 'test' })
    expect(await user('docker.io/library/alpine')).toBe('token https://index.docker.io/v1/')
    expect(await user('a.com/x')).toBe('token a.com')
  })

  test('that have nothing let the search go on', async () => {
    helper('test', 'echo "credentials not found in native keychain"; exit 1')
    write(RUNTIME, { auths: { 'a.com': entry('file') }, credsStore: 'test' })
    expect(await user('a.com/x')).toBe('file:secret')
  })

  test('of registries.conf are asked in its order', async () => {
    helper('first', 'echo "{\\"Username\\":\\"first\\",\\"Secret\\":\\"s\\"}"')
    write(RUNTIME, { auths: { 'a.com': entry('file') } })
    expect(await user('a.com/x', { credentialHelpers: ['first', 'containers-auth.json'] })).toBe('first:s')
    expect(await user('a.com/x', { credentialHelpers: ['containers-auth.json', 'first'] })).toBe('file:secret')
    expect(await user('a.com/x', { credentialHelpers: [] })).toBeUndefined()
  })

  test.each([
    ['fails', 'echo "my-secret"; echo "my-secret" >&2; exit 1'],
    ['prints no JSON', 'echo my-secret'],
    ['leaves out the secret', 'echo "{\\"Username\\":\\"my-secret\\"}"'],
  ])('that %s is an error without its output', async (_name, script) => {
    helper('test', script)
    write(RUNTIME, { credsStore: 'test' })
    await expect(user('a.com/x')).rejects.toMatchObject({ code: 'ERR_CREDENTIALS', details: expect.anything() })
    await expect(user('a.com/x').catch((error) => JSON.stringify([error, error.message, error.cause]))).resolves.not.toContain('my-secret')
  })

  test('that hang are ended', async () => {
    helper('test', 'exec sleep 60')
    write(RUNTIME, { credsStore: 'test' })
    await expect(user('a.com/x', { helperTimeoutMs: 200 })).rejects.toThrow(/did not answer within 200 ms/)
  })

  test('that hang end with the signal', async () => {
    helper('test', 'exec sleep 60')
    write(RUNTIME, { credsStore: 'test' })
    const reason = new Error('enough')
    const abort = new AbortController()
    setTimeout(() => abort.abort(reason), 100)
    await expect(createCredentialStore(options).lookup({ registry: 'a.com', repository: 'x' }, abort.signal)).rejects.toBe(reason)
  })
})

test('explainCredential names the source, without the secret', async () => {
  const path = write('.config/containers/auth.json', { auths: { 'a.com/team': entry('alice') } })
  const store = createCredentialStore(options)
  const explanation = await store.explainCredential({ registry: 'a.com', repository: 'team/app' })
  expect(explanation).toEqual({
    found: true,
    kind: 'file',
    path,
    key: 'a.com/team',
    username: 'alice',
    identityToken: false,
    searched: [join(home, RUNTIME), path],
  })
  expect(await store.explainCredential({ registry: 'b.com', repository: 'x' })).toEqual({ found: false, searched: await searched() })
})
