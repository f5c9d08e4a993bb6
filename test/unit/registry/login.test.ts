import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import type { CredentialStoreOptions } from '../../../src/registry/credential-places.ts'
import { type CredentialStore, createCredentialStore } from '../../../src/registry/credentials.ts'
import { credentialHome, DOCKER_FILE, entry, LASTING_FILE, RUNTIME_FILE } from '../../helpers/credential-home.ts'

const home = credentialHome()
const ALICE = { username: 'alice', password: 'hidden' }
const store = (over: Partial<CredentialStoreOptions> = {}): CredentialStore => createCredentialStore({ ...home.options(), ...over })
async function user(name: string, over: Partial<CredentialStoreOptions> = {}): Promise<string | undefined> {
  const [registry = '', ...path] = name.split('/')
  const found = await store(over).lookup({ registry, repository: path.join('/') })
  return found && ('identityToken' in found ? `token ${found.identityToken}` : `${found.username}:${found.password}`)
}

describe('login', () => {
  test('keeps a credential and leaves the rest of the file alone; logout forgets it', async () => {
    const path = home.write(RUNTIME_FILE, { auths: { 'b.com': entry('bob') }, HttpHeaders: { 'X-Own': '1' } })
    chmodSync(path, 0o644)
    expect(await store().login('a.com/team', { username: 'alice', password: 'p:q' })).toEqual({ kind: 'file', path })
    expect([await user('a.com/team/app'), await user('a.com/other'), await user('b.com/x')]).toEqual(['alice:p:q', undefined, 'bob:secret'])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(await store().logout('a.com/team')).toEqual({ removed: true, remaining: [] })
    expect(await store().logout('a.com/team')).toEqual({ removed: false, remaining: [] })
    expect(home.json(RUNTIME_FILE)).toEqual({ auths: { 'b.com': entry('bob') }, HttpHeaders: { 'X-Own': '1' } })
    expect(readdirSync(dirname(path))).toEqual(['auth.json'])
  })

  test('makes the file and its directory, for the owner only', async () => {
    await store().login('docker.io', { identityToken: 'id' })
    expect(await user('docker.io/library/alpine')).toBe('token id')
    const path = home.path(RUNTIME_FILE)
    expect([statSync(path).mode & 0o777, statSync(dirname(path)).mode & 0o777]).toEqual([0o600, 0o700])
  })

  test('of several at the same time loses nothing', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `r${index}.com`)
    await Promise.all(names.map((name) => store().login(name, { username: name, password: 'x' })))
    expect(Object.keys(home.json(RUNTIME_FILE).auths ?? {}).sort()).toEqual(names)
  })

  test('follows a link to the file', async () => {
    const target = home.write('dotfiles/auth.json', {})
    mkdirSync(home.path('run/containers'), { recursive: true })
    symlinkSync(target, home.path(RUNTIME_FILE))
    await store().login('a.com', ALICE)
    expect(home.json('dotfiles/auth.json').auths).toHaveProperty(['a.com'])
    expect(readdirSync(dirname(target))).toEqual(['auth.json'])
  })

  test('that shall last goes to the configuration, and nothing hides it', async () => {
    home.write(RUNTIME_FILE, { auths: { 'a.com': entry('old'), 'b.com': entry('bob') } })
    expect(await store().login('a.com', ALICE, { persistent: true })).toEqual({ kind: 'file', path: home.path(LASTING_FILE) })
    expect([await user('a.com/x'), await user('b.com/x')]).toEqual(['alice:hidden', 'bob:secret'])
    expect(home.json(RUNTIME_FILE).auths).toEqual({ 'b.com': entry('bob') })
    expect(await store().logout('a.com')).toEqual({ removed: true, remaining: [] })
    expect(home.json(LASTING_FILE)).toEqual({ auths: {} })
  })

  test("never writes Docker's file, unless that is the file that was named", async () => {
    const docker = home.write(DOCKER_FILE, { auths: { 'a.com': entry('docker') } })
    await store().login('a.com', ALICE)
    expect(home.json(DOCKER_FILE)).toEqual({ auths: { 'a.com': entry('docker') } })
    expect(await store({ authFile: docker }).login('a.com', ALICE, { persistent: true })).toEqual({ kind: 'file', path: docker })
    expect(home.json(DOCKER_FILE)).toEqual({ auths: { 'a.com': entry('alice', 'hidden') } })
  })

  test.each(['', 'https://a.com', 'a.com/UPPER', 'a.com/../b', 'a b', 'app'])('refuses the registry %j', async (scope) => {
    await expect(store().login(scope, ALICE)).rejects.toMatchObject({ code: 'ERR_CREDENTIALS' })
    await expect(store().logout(scope)).rejects.toMatchObject({ code: 'ERR_CREDENTIALS' })
    expect(existsSync(home.path(RUNTIME_FILE))).toBe(false)
  })

  test('refuses a user name that would not survive, and a file that cannot be read', async () => {
    await expect(store().login('a.com', { username: 'a:b', password: 'c' })).rejects.toMatchObject({ code: 'ERR_CREDENTIALS' })
    home.write(RUNTIME_FILE, '{"auths": [')
    await expect(store().login('a.com', ALICE)).rejects.toMatchObject({ code: 'ERR_CREDENTIALS' })
    expect(home.read(RUNTIME_FILE)).toBe('{"auths": [')
  })

  test('ends with its signal, and changes nothing', async () => {
    const reason = new Error('enough')
    await expect(store().login('a.com', ALICE, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(existsSync(home.path(RUNTIME_FILE))).toBe(false)
  })
})

describe('a credential helper', () => {
  test('that the file names gets the credential, and gives it up', async () => {
    home.keyStore('test')
    const path = home.write(RUNTIME_FILE, { credsStore: 'test' })
    expect(await store().login('a.com', ALICE)).toEqual({ kind: 'helper', helper: 'test', path })
    expect(JSON.parse(home.read('store/a.com'))).toEqual({ ServerURL: 'a.com', Username: 'alice', Secret: 'hidden' })
    expect(readFileSync(path, 'utf8')).not.toContain('hidden')
    expect(await user('a.com/x')).toBe('alice:hidden')
    expect(await store().logout('a.com')).toEqual({ removed: true, remaining: [] })
    expect([existsSync(home.path('store/a.com')), home.json(RUNTIME_FILE)]).toEqual([false, { credsStore: 'test', auths: {} }])
  })

  test('of credHelpers is only for its hosts', async () => {
    home.keyStore('test')
    home.write(RUNTIME_FILE, { credHelpers: { 'a.com': 'test' } })
    await store().login('a.com', { identityToken: 'id' })
    await store().login('b.com', ALICE)
    expect([await user('a.com/x'), await user('b.com/x')]).toEqual(['token id', 'alice:hidden'])
    expect(home.json(RUNTIME_FILE).auths).toEqual({ 'a.com': {}, 'b.com': entry('alice', 'hidden') })
  })

  test('of registries.conf gets it before any file', async () => {
    home.keyStore('test')
    const credentialHelpers = ['test', 'containers-auth.json']
    expect(await store({ credentialHelpers }).login('docker.io', ALICE)).toEqual({ kind: 'helper', helper: 'test' })
    expect(existsSync(home.path(RUNTIME_FILE))).toBe(false)
    expect(JSON.parse(home.read('store/https___index.docker.io_v1_'))).toMatchObject({ ServerURL: 'https://index.docker.io/v1/' })
    expect(await store({ credentialHelpers }).logout('docker.io')).toEqual({ removed: true, remaining: [] })
  })

  test('that is missing or fails leaves no password in a file', async () => {
    home.write(RUNTIME_FILE, { credsStore: 'missing' })
    await expect(store().login('a.com', ALICE)).rejects.toMatchObject({ code: 'ERR_CREDENTIALS', details: { helper: 'missing' } })
    home.helper('broken', 'exit 1')
    await expect(store({ credentialHelpers: ['broken', 'containers-auth.json'] }).login('a.com', ALICE)).rejects.toMatchObject({
      code: 'ERR_CREDENTIALS',
    })
    expect(home.json(RUNTIME_FILE)).toEqual({ credsStore: 'missing' })
  })

  test('takes no namespace, because it would not find it again', async () => {
    home.keyStore('test')
    home.write(RUNTIME_FILE, { credsStore: 'test' })
    await expect(store().login('a.com/team', ALICE)).rejects.toThrow(/by host only/)
    expect(existsSync(home.path('store'))).toBe(false)
  })
})

describe('logout', () => {
  test('says which credentials apply from then on', async () => {
    const docker = home.write(DOCKER_FILE, { auths: { 'https://a.com/v1/': entry('docker') } })
    home.keyStore('test')
    home.write('.dockercfg', { 'a.com': entry('legacy') })
    const given = { 'a.com': { username: 'program', password: 'x' } }
    await store({ given }).login('a.com', ALICE)
    expect(await store({ given }).logout('a.com')).toEqual({
      removed: true,
      remaining: [
        { registry: 'a.com', kind: 'option', username: 'program', identityToken: false },
        { registry: 'a.com', kind: 'file', path: docker, username: 'docker', identityToken: false },
        { registry: 'a.com', kind: 'file', path: home.path('.dockercfg'), username: 'legacy', identityToken: false },
      ],
    })
  })

  test('of a namespace leaves the registry, and names it', async () => {
    await store().login('a.com', ALICE)
    await store().login('a.com/team', { username: 'team', password: 'x' })
    expect(await store().logout('a.com/team')).toMatchObject({ removed: true, remaining: [{ registry: 'a.com', username: 'alice' }] })
    expect(await user('a.com/team/app')).toBe('alice:hidden')
  })

  test('forgets a registry in every form that would be found', async () => {
    home.write(RUNTIME_FILE, {
      auths: { 'https://a.com/v2/': entry('x'), 'a.com/team': entry('t'), 'https://index.docker.io/v1/': entry('h') },
    })
    expect(await store().logout('a.com')).toEqual({ removed: true, remaining: [] })
    expect(await store().logout('index.docker.io')).toEqual({ removed: true, remaining: [] })
    expect(home.json(RUNTIME_FILE).auths).toEqual({ 'a.com/team': entry('t') })
  })

  test('does not fail for a helper of others that is broken', async () => {
    home.write(DOCKER_FILE, { credsStore: 'missing' })
    await store().login('a.com', ALICE)
    expect(await store().logout('a.com')).toEqual({ removed: true, remaining: [] })
  })

  test('of all forgets what login has kept, and leaves what is of others', async () => {
    home.keyStore('test')
    home.write(DOCKER_FILE, { auths: { 'd.com': entry('docker') } })
    home.write(RUNTIME_FILE, { credHelpers: { 'h.com': 'test' }, other: true })
    await store().login('h.com', ALICE)
    await store().login('a.com/team', ALICE)
    await store().login('b.com', ALICE, { persistent: true })
    expect(await store().logoutAll()).toMatchObject({
      removed: ['h.com', 'a.com/team', 'b.com'],
      remaining: [{ registry: 'd.com', username: 'docker', path: home.path(DOCKER_FILE) }],
    })
    expect(home.json(RUNTIME_FILE)).toEqual({ credHelpers: { 'h.com': 'test' }, other: true, auths: {} })
    expect(readdirSync(home.path('store'))).toEqual([])
  })
})

describe('the list of credentials', () => {
  test('names registries, users and places in the order of search, and no secret', async () => {
    home.keyStore('test')
    home.write(DOCKER_FILE, { auths: { 'https://index.docker.io/v1/': {} }, credsStore: 'test' })
    home.write(RUNTIME_FILE, { auths: { 'a.com/team': entry('alice', 'hidden') } })
    await store({ authFile: home.path(DOCKER_FILE) }).login('docker.io', { identityToken: 'hidden-token' })
    const list = await store({ given: { 'g.com': { username: 'given', password: 'hidden' } } }).list()
    expect(list).toEqual([
      { registry: 'g.com', kind: 'option', username: 'given', identityToken: false },
      { registry: 'a.com/team', kind: 'file', path: home.path(RUNTIME_FILE), username: 'alice', identityToken: false },
      { registry: 'docker.io', kind: 'helper', helper: 'test', path: home.path(DOCKER_FILE), identityToken: true },
    ])
    expect(JSON.stringify(list)).not.toContain('hidden')
  })

  test('is empty where there is none', async () => {
    expect(await store().list()).toEqual([])
  })
})
