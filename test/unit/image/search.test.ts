import { describe, expect, test } from '@jest/globals'
import { type SearchOptions, searchImages } from '../../../src/image/search.ts'
import type { Context } from '../../../src/lifecycle/context.ts'
import { confFor, type FakeRegistry } from '../../helpers/fake-registry.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld()
const INDEX = [
  { name: 'web', description: 'official', star_count: 70, is_official: true },
  { name: 'team/web', description: 'popular', star_count: 50, is_automated: true },
  { name: 'someone/web', description: '', star_count: 0 },
]

/** A search with all that it needs of a runtime. */
function search(
  registries: readonly FakeRegistry[],
  term: string,
  options: SearchOptions = {},
  defaults: readonly FakeRegistry[] = registries,
) {
  const registriesConf = async () => ({ ...confFor(...registries), unqualifiedSearchRegistries: defaults.map(({ host }) => host) })
  return searchImages({ registry: async () => client(registries), registriesConf } as unknown as Context, term, options)
}
async function withCatalog(...names: string[]): Promise<FakeRegistry> {
  const fake = await registry()
  for (const name of names) fake.addImage(name, { tag: 'v1' })
  return fake
}
const names = ({ results }: { results: readonly { name: string }[] }) => results.map(({ name }) => name)

describe('a search', () => {
  test('asks the search registries and gives full names in their order', async () => {
    const [one, two] = [await registry({ index: INDEX }), await withCatalog('webserver', 'base')]
    const found = await search([one, two], 'web')
    expect(names(found)).toEqual([`${one.host}/web`, `${one.host}/team/web`, `${one.host}/someone/web`, `${two.host}/webserver`])
    expect(found.results[0]).toEqual({
      registry: one.host,
      name: `${one.host}/web`,
      description: 'official',
      stars: 70,
      isOfficial: true,
      isAutomated: false,
    })
    expect(found.failures).toEqual([])
  })

  test('asks the registry that the term begins with, or those that are named', async () => {
    const [one, two] = [await withCatalog('team/web'), await withCatalog('team/web')]
    expect(names(await search([one, two], `${two.host}/team/`))).toEqual([`${two.host}/team/web`])
    expect(names(await search([one, two], 'team/', { registries: [one.host, one.host] }))).toEqual([`${one.host}/team/web`])
    expect(names(await search([one, two], `${one.host}/`))).toEqual([`${one.host}/team/web`])
  })

  test('asks nobody when nobody is named', async () => {
    for (const options of [{}, { registries: [] }]) {
      const error = await failure(search([], 'web', options))
      expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
      expect(error.message).toContain('unqualified-search-registries')
    }
  })

  test('gives a limited number for each registry', async () => {
    const many = Array.from({ length: 40 }, (_, index) => `web${index}`)
    const [one, two] = [await withCatalog(...many), await withCatalog(...many)]
    expect((await search([one, two], 'web')).results).toHaveLength(50)
    expect((await search([one, two], 'web', { limit: 3 })).results).toHaveLength(6)
  })

  test('filters before it limits', async () => {
    const fake = await registry({ index: INDEX })
    const of = async (filters: SearchOptions['filters'], limit = 25) =>
      names(await search([fake], 'web', { filters: filters ?? {}, limit }))
    expect(await of({ isOfficial: true })).toEqual([`${fake.host}/web`])
    expect(await of({ isOfficial: false }, 1)).toEqual([`${fake.host}/team/web`])
    expect(await of({ isAutomated: true })).toEqual([`${fake.host}/team/web`])
    expect(await of({ stars: 50 })).toEqual([`${fake.host}/web`, `${fake.host}/team/web`])
    expect(await of({ stars: 50, isOfficial: false, isAutomated: false })).toEqual([])
  })

  test('lists the tags of an image', async () => {
    const fake = await registry()
    for (const tag of ['v1', 'v2', 'v3']) fake.addImage('team/web', { tag })
    const found = await search([fake], `${fake.host}/team/web`, { listTags: true, limit: 2 })
    expect(found.results).toMatchObject([
      { name: `${fake.host}/team/web:v1`, tag: 'v1' },
      { name: `${fake.host}/team/web:v2`, tag: 'v2' },
    ])
    fake.fault(/none/, { status: 404 })
    expect(await failure(search([fake], `${fake.host}/none`, { listTags: true }))).toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
    expect(await failure(search([fake], `${fake.host}/team/WEB*`, { listTags: true }))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
  })
})

describe('a registry that fails', () => {
  test('does not hide what others have found', async () => {
    const [good, bad] = [await withCatalog('web'), await registry()]
    bad.fault(/./, { status: 403 })
    const found = await search([bad, good], 'web')
    expect(names(found)).toEqual([`${good.host}/web`])
    expect(found.failures).toMatchObject([{ registry: bad.host, error: { code: 'ERR_REGISTRY_DENIED' } }])
    expect(await search([bad, good], 'nothing')).toMatchObject({ results: [], failures: [{ registry: bad.host }] })
  })

  test('fails the search when it is the only one, with its own error', async () => {
    const bad = await registry({ catalog: false })
    expect(await failure(search([bad], 'web'))).toMatchObject({ code: 'ERR_REGISTRY_UNSUPPORTED', details: { registry: bad.host } })
  })

  test('fails the search when all others do too, with all that was wrong', async () => {
    const [one, two] = [await registry(), await registry()]
    one.fault(/./, { status: 403 })
    await two.close()
    const error = await failure(search([one, two], 'web'))
    expect(error).toMatchObject({
      code: 'ERR_SEARCH_FAILED',
      kind: 'unavailable',
      details: {
        failures: expect.arrayContaining([
          { registry: one.host, code: 'ERR_REGISTRY_DENIED', message: expect.any(String) },
          { registry: two.host, code: 'ERR_REGISTRY_UNREACHABLE', message: expect.any(String) },
        ]),
      },
    })
    expect((error.cause as AggregateError).errors).toHaveLength(2)
  })
})

test.each([
  ['x'.repeat(256), {}],
  ['a\nb', {}],
  ['a\0', {}],
  ['web', { limit: 0 }],
  ['web', { limit: 1.5 }],
  ['web', { limit: Number.NaN }],
  ['web', { limit: 1e9 }],
  ['web', { filters: { stars: -1 } }],
])('a search for %j with %j is refused', async (term, options) => {
  const fake = await registry()
  expect(await failure(search([fake], term, options))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  expect(fake.requests).toEqual([])
})

test('a search ends with its signal, whatever the registries do', async () => {
  const fake = await withCatalog('web')
  fake.fault(/./, { delayMs: 500 })
  const reason = new Error('enough')
  const abort = new AbortController()
  setTimeout(() => abort.abort(reason), 50)
  await expect(search([fake], 'web', { signal: abort.signal })).rejects.toBe(reason)
  await expect(search([fake], 'web', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})
