import { describe, expect, test } from '@jest/globals'
import { collect, failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld({ users: { bob: 'hunter2' } })
const BOB = { username: 'bob', password: 'hunter2' }
const INDEX = [
  { name: 'web', description: 'serves\npages', star_count: 7, is_official: true, is_automated: false },
  { name: 'team/web', description: '', star_count: 0, is_official: false, is_automated: true },
  { name: 'other', description: 'something else', star_count: 1 },
]
const names = (found: readonly { repository: string }[]) => found.map(({ repository }) => repository)

describe('a registry with an index', () => {
  test('is searched by that, and says what it knows', async () => {
    const fake = await registry({ index: INDEX })
    expect(await client([fake]).search(fake.host, { term: 'web', limit: 10 })).toEqual([
      { repository: 'web', description: 'serves pages', stars: 7, isOfficial: true, isAutomated: false },
      { repository: 'team/web', description: '', stars: 0, isOfficial: false, isAutomated: true },
    ])
    expect(fake.requests.map(({ path }) => path)).toEqual(['/v1/search?q=web&n=10'])
  })

  test('gives as many as are wanted, over several pages', async () => {
    const fake = await registry({ index: Array.from({ length: 250 }, (_, index) => ({ name: `app/n${index}` })) })
    const found = await client([fake]).search(fake.host, { term: 'app', limit: 230 })
    expect([found.length, new Set(names(found)).size]).toEqual([230, 230])
    expect(fake.requests.map(({ path }) => path)).toEqual([
      '/v1/search?q=app&n=100',
      '/v1/search?q=app&n=100&page=2',
      '/v1/search?q=app&n=100&page=3',
    ])
  })

  test('that knows no pages is not asked forever', async () => {
    const fake = await registry()
    fake.fault(/search/, { status: 200, body: JSON.stringify({ num_pages: 1000, results: INDEX }) })
    expect(await client([fake]).search(fake.host, { term: 'web', limit: 500 })).toHaveLength(3)
    expect(fake.requests).toHaveLength(2)
  })

  test('sees no credentials', async () => {
    const fake = await registry({ index: INDEX })
    await client([fake]).search(fake.host, { term: 'web', limit: 5 }, { credential: BOB })
    expect(fake.requests[0]?.headers.authorization).toBeUndefined()
  })
})

describe('a registry without an index', () => {
  async function withCatalog(options: Parameters<typeof registry>[0] = {}) {
    const fake = await registry({ pageSize: 2, ...options })
    for (const name of ['base', 'team/app', 'team/web', 'webserver', 'x/web/y']) fake.addImage(name, { tag: '1' })
    return fake
  }

  test('is searched by the names of all repositories, page by page', async () => {
    const fake = await withCatalog()
    const found = await client([fake]).search(fake.host, { term: 'web', limit: 10 })
    expect(found[0]).toEqual({ repository: 'team/web', description: '', stars: 0, isOfficial: false, isAutomated: false })
    expect(names(found)).toEqual(['team/web', 'webserver', 'x/web/y'])
    expect(fake.requests.filter(({ path }) => path.includes('_catalog'))).toHaveLength(3)
  })

  test('is read no further than needed', async () => {
    const fake = await withCatalog()
    expect(names(await client([fake]).search(fake.host, { term: 'team', limit: 1 }))).toEqual(['team/app'])
    expect(fake.requests.filter(({ path }) => path.includes('_catalog'))).toHaveLength(1)
  })

  test('gives everything for no term', async () => {
    const fake = await withCatalog()
    const found = await client([fake]).search(fake.host, { term: '', limit: 100 })
    expect(names(found)).toEqual(await collect(client([fake]).repositories(fake.host)))
    expect(found).toHaveLength(5)
    expect(fake.requests.some(({ path }) => path.includes('/v1/'))).toBe(false)
  })

  test.each(['basic', 'bearer'] as const)('is asked with the credentials for it (%s)', async (auth) => {
    const fake = await withCatalog({ auth })
    const lookups: unknown[] = []
    const credentials = async (name: unknown) => {
      lookups.push(name)
      return BOB
    }
    expect(await client([fake], { credentials }).search(fake.host, { term: 'base', limit: 5 })).toHaveLength(1)
    expect(lookups).toEqual([{ registry: fake.host, repository: '' }])
    const tokens = fake.requests.filter(({ server, headers }) => server === 'token' && headers.authorization)
    expect(tokens.map(({ path }) => new URL(path, fake.url).searchParams.getAll('scope'))).toEqual(
      auth === 'bearer' ? [['registry:catalog:*']] : [],
    )
    expect(await failure(client([fake]).search(fake.host, { term: 'base', limit: 5 }))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
  })

  test.each([
    ['a page for people', { status: 200, body: '<html>hello</html>' }],
    ['something else', { status: 200, body: '{"results":5}' }],
    ['no', { status: 403 }],
    ['trouble', { status: 503 }],
  ])('answers to a search with %s', async (_what, fault) => {
    const fake = await withCatalog()
    fake.fault(/search/, fault)
    expect(names(await client([fake]).search(fake.host, { term: 'base', limit: 5 }))).toEqual(['base'])
  })

  test('and without a list of repositories cannot be searched', async () => {
    const fake = await withCatalog({ catalog: false })
    expect(await failure(client([fake]).search(fake.host, { term: 'base', limit: 5 }))).toMatchObject({
      code: 'ERR_REGISTRY_UNSUPPORTED',
      kind: 'unsupported',
      details: { status: 404 },
    })
  })

  test('says which of its names are none', async () => {
    const fake = await registry()
    fake.fault(/catalog/, { body: JSON.stringify({ repositories: ['ok', '../up', 'UPPER', 5, 'a b', 'a:1', '', 'x\n'] }) })
    expect(await collect(client([fake]).repositories(fake.host))).toEqual(['ok'])
    fake.fault(/catalog/, { body: '{"repositories":null}' })
    expect(await collect(client([fake]).repositories(fake.host))).toEqual([])
    fake.fault(/catalog/, { body: '{"repositories":"all"}' })
    expect(await failure(collect(client([fake]).repositories(fake.host)))).toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })
})

test('a registry that is blocked, or none, is not asked', async () => {
  const fake = await registry()
  const registries = { registries: [{ ...fake.conf, blocked: true }], unqualifiedSearchRegistries: [], shortNameMode: 'enforcing' as const }
  const blocked = client([], { registries: { ...registries, aliases: {}, credentialHelpers: [] } })
  expect(await failure(blocked.search(fake.host, { term: 'x', limit: 1 }))).toMatchObject({ code: 'ERR_REGISTRY_BLOCKED' })
  for (const host of ['', 'a/b', `${fake.host}/team`, 'a b', 'host']) {
    expect(await failure(client([fake]).search(host, { term: 'x', limit: 1 }))).toMatchObject({ kind: 'invalid-argument' })
  }
  expect(fake.requests).toEqual([])
})

test('a search ends with its signal', async () => {
  const fake = await registry({ index: INDEX })
  fake.fault(/search/, { delayMs: 500 })
  const reason = new Error('enough')
  const abort = new AbortController()
  setTimeout(() => abort.abort(reason), 50)
  await expect(client([fake]).search(fake.host, { term: 'x', limit: 1 }, { signal: abort.signal })).rejects.toBe(reason)
})
