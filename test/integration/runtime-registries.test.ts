import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Runtime, RuntimeOptions } from '../../src/index.ts'
import { lacking } from '../helpers/abilities.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { openPodman } from '../helpers/podman.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'
import { collect, failure, registryWorld } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

/* Private registries: Debian's docker-registry with a password file, and a token server. */

const lab = runtimeLab()
const world = registryWorld()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const itWithPodman = (name: string, work: () => Promise<void>) => testNeeding([...RUNTIME_NEEDS, 'podman'], name, work, 120_000)
const BOB = { username: 'bob', password: 'hunter2' }
/** bob and his password, as docker-registry wants it: bcrypt. */
const HTPASSWD = 'bob:$2y$05$podlibpodlibpodlibpodeZRh0FUFdwFguX1XA8JXUzZ2rM7kyuqm\n'

let registry: DockerRegistry
let home: RuntimeStore

beforeAll(async () => {
  if (lacking(RUNTIME_NEEDS).length > 0) return
  home = await lab.emptyStore()
  const [layout, storage, users] = ['layout', 'storage', 'htpasswd'].map((name) => join(home.directory, name)) as [string, string, string]
  await writeSmallImage(layout)
  {
    await using open = await startDockerRegistry({ storage })
    for (const name of ['team/small:v1', 'team/small:v2', 'other/thing:v1']) await open.push(layout, 'latest', name)
  }
  writeFileSync(users, HTPASSWD)
  registry = await startDockerRegistry({ storage, configuration: `auth:\n  htpasswd:\n    realm: private\n    path: ${users}\n` })
}, 60_000)
afterAll(async () => registry?.[Symbol.asyncDispose]())

/** A runtime of a user whose credentials files are of the test only. */
async function open(options: RuntimeOptions = {}): Promise<{ runtime: Runtime; store: RuntimeStore; file: string }> {
  const store = await lab.emptyStore()
  const runDirectory = join(store.directory, 'xdg')
  mkdirSync(runDirectory)
  const env = { PATH: process.env.PATH, HOME: store.directory, XDG_RUNTIME_DIR: runDirectory }
  const runtime = await store.open({ env, insecureRegistries: [registry.host], ...options })
  return { runtime, store, file: join(runDirectory, 'containers/auth.json') }
}
const small = () => `${registry.host}/team/small:v1`

describe('a registry with a password file', () => {
  it('lets in who has logged in, and nobody any more after the logout', async () => {
    const { runtime, file } = await open()
    expect(await failure(runtime.images.pull(small()))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', kind: 'denied' })
    const wrong = await failure(runtime.registries.login(registry.host, { username: 'bob', password: 'not-the-secret' }))
    expect(wrong).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', details: { registry: registry.host } })
    expect([existsSync(file), JSON.stringify(wrong).includes('not-the-secret')]).toEqual([false, false])
    expect(await runtime.registries.login(registry.host, BOB)).toEqual({
      registry: registry.host,
      verified: true,
      kind: 'file',
      path: file,
    })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const image = await runtime.images.pull(small())
    expect((await image.inspect()).names).toEqual([small()])
    await runtime.images.remove(small())
    expect(await runtime.registries.logout(registry.host)).toEqual({ removed: true, remaining: [] })
    expect(await failure(runtime.images.pull(small()))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    expect(await runtime.images.list()).toEqual([])
  })

  it('is listed, explained, searched, and asked for tags, with the credentials for it', async () => {
    const { runtime, file } = await open()
    await runtime.registries.login(registry.host, BOB)
    const stored = { registry: registry.host, kind: 'file', path: file, username: 'bob', identityToken: false }
    expect(await runtime.registries.list()).toEqual([stored])
    expect(await runtime.registries.explain(small())).toMatchObject({ found: true, path: file, username: 'bob', searched: [file] })
    expect((await collect(runtime.registries.tags(small()))).sort()).toEqual(['v1', 'v2'])
    const { results } = await runtime.images.search(`${registry.host}/small`)
    expect(results).toMatchObject([{ registry: registry.host, name: `${registry.host}/team/small` }])
    const everything = await runtime.images.search('', { registries: [registry.host] })
    expect(everything.results.map(({ name }) => name)).toEqual(['other/thing', 'team/small'].map((name) => `${registry.host}/${name}`))
    const tagged = await runtime.images.search(`${registry.host}/team/small`, { listTags: true })
    expect(tagged.results.map(({ tag }) => tag).sort()).toEqual(['v1', 'v2'])
    expect(await failure(collect(runtime.registries.tags(`${registry.host}/none`)))).toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
    expect(await runtime.registries.logoutAll()).toEqual({ removed: [registry.host], remaining: [] })
    expect(await failure(runtime.images.search(`${registry.host}/small`))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
  })

  it('takes what was passed in the program, which a logout cannot take back but names', async () => {
    const { runtime } = await open({ credentials: { [registry.host]: BOB } })
    await runtime.images.pull(small())
    const option = { registry: registry.host, kind: 'option', username: 'bob', identityToken: false }
    expect(await runtime.registries.list()).toEqual([option])
    expect(await runtime.registries.logout(registry.host)).toEqual({ removed: false, remaining: [option] })
    await runtime.images.pull(small())
  })

  it('keeps a credential unproven, or in another file, when told to', async () => {
    const { runtime, store, file } = await open()
    const authFile = join(store.directory, 'mine.json')
    const unproven = await runtime.registries.login(registry.host, { username: 'x', password: 'y', verify: false, authFile })
    expect(unproven).toEqual({ registry: registry.host, verified: false, kind: 'file', path: authFile })
    expect(existsSync(file)).toBe(false)
    expect(await runtime.registries.list()).toEqual([])
    expect(await runtime.registries.list({ authFile })).toMatchObject([{ registry: registry.host, username: 'x' }])
    expect(await runtime.registries.logout(registry.host, { authFile })).toEqual({ removed: true, remaining: [] })
  })

  it('gets nothing from a login that makes no sense', async () => {
    const { runtime, file } = await open()
    for (const options of [
      {},
      { username: 'bob' },
      { username: '', password: 'x' },
      { ...BOB, identityToken: 'x' },
      { identityToken: '' },
    ]) {
      expect(await failure(runtime.registries.login(registry.host, options as typeof BOB))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
    for (const name of ['', 'https://x.example', 'a b']) {
      expect(await failure(runtime.registries.login(name, BOB))).toMatchObject({ code: 'ERR_CREDENTIALS' })
    }
    const reason = new Error('enough')
    await expect(runtime.registries.login(registry.host, { ...BOB, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(existsSync(file)).toBe(false)
  })
})

describe('a registry with a token server', () => {
  it('gives a private image to who has logged in, by password or identity token', async () => {
    for (const [users, credential] of [
      [{ bob: 'hunter2' }, BOB],
      [{ bob: 'refresh-me' }, { identityToken: 'refresh-me' }],
    ] as const) {
      const fake = await world.registry({ auth: 'bearer', users })
      fake.addImage('team/app', { tag: 'v1', layers: [tar({ name: 'a', content: 'x' })] })
      const { runtime } = await open({ insecureRegistries: [fake.host] })
      const name = `${fake.host}/team/app:v1`
      expect(await failure(runtime.images.pull(name))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
      expect(await runtime.registries.login(`${fake.host}/team`, credential)).toMatchObject({
        verified: true,
        registry: `${fake.host}/team`,
      })
      await runtime.images.pull(name)
      expect(await runtime.registries.logout(fake.host)).toEqual({ removed: false, remaining: [] })
      await runtime.images.pull(name)
      expect(await runtime.registries.logout(`${fake.host}/team`)).toEqual({ removed: true, remaining: [] })
      expect(await failure(runtime.images.pull(name))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    }
  })
})

describe('credentials are shared with podman and skopeo', () => {
  itWithPodman('that podlib has stored', async () => {
    const { runtime, file } = await open()
    await runtime.registries.login(registry.host, BOB)
    await using podman = await openPodman({ ociRuntime: 'crun' })
    expect((await podman.output('login', '--get-login', '--authfile', file, registry.host)).trim()).toBe('bob')
    await podman.run('pull', '--quiet', '--tls-verify=false', '--authfile', file, small())
    const inspected = await outputOf('skopeo', ['inspect', '--tls-verify=false', '--authfile', file, `docker://${small()}`])
    expect(JSON.parse(inspected)).toMatchObject({ RepoTags: expect.arrayContaining(['v1', 'v2']) })
    await podman.run('logout', '--authfile', file, registry.host)
    expect(await runtime.registries.list()).toEqual([])
    expect(await runtime.registries.logout(registry.host)).toEqual({ removed: false, remaining: [] })
  })

  itWithPodman('that podman and skopeo have stored', async () => {
    const { runtime, file } = await open()
    mkdirSync(join(file, '..'), { recursive: true })
    const flags = ['--authfile', file, '--tls-verify=false', '--username', BOB.username, '--password', BOB.password]
    await using podman = await openPodman({ ociRuntime: 'crun' })
    await podman.run('login', ...flags, registry.host)
    await runtime.images.pull(small())
    await runtime.images.remove(small())
    await runProgram('skopeo', ['login', '--authfile', file, ...flags.slice(2), `${registry.host}/other`])
    expect((await runtime.registries.list()).map((one) => one.registry).sort()).toEqual([registry.host, `${registry.host}/other`])
    expect(await runtime.registries.logout(registry.host)).toEqual({ removed: true, remaining: [] })
    expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')).auths)).toEqual([`${registry.host}/other`])
    expect(await failure(runtime.images.pull(small()))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    await podman.run('logout', '--authfile', file, `${registry.host}/other`)
  })
})
