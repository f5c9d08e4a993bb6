import { isPodlibError } from '../errors/errors.ts'
import { fetchPage, isRepository, type ListingOptions, listRepositories } from './listings.ts'
import { plainText, protocolError, type RequestContext } from './registry-errors.ts'

/** What a registry tells of a repository that a search has found. Where it only has a list of names, the rest is empty. @public */
export interface FoundRepository {
  /** Path below the registry, as in a reference: `library/alpine`, `team/app`. */
  readonly repository: string
  readonly description: string
  readonly stars: number
  readonly isOfficial: boolean
  readonly isAutomated: boolean
}

/** @public */
export interface RepositoryQuery {
  /** Part of a name; empty for everything. */
  readonly term: string
  /** Results at most. */
  readonly limit: number
}

export interface SearchPlaces {
  /** Where the index is, whoever asks. */
  readonly index: ListingOptions
  /** The list of all names; Docker Hub has none. */
  readonly catalog: ListingOptions | undefined
}

/** What Docker Hub gives at a time. */
const PAGE_SIZE = 100

/**
 * Searches one registry: by its index (the search of protocol version 1, which Docker Hub and some others have), else by
 * looking through the names of all its repositories.
 *
 * @throws ERR_REGISTRY_UNSUPPORTED when it has neither, ERR_REGISTRY_*
 */
export async function searchRegistry({ index, catalog }: SearchPlaces, query: RepositoryQuery): Promise<FoundRepository[]> {
  if (catalog === undefined) return searchIndex(index, query)
  if (query.term !== '') {
    try {
      return await searchIndex(index, query)
    } catch (error) {
      if (!isAnswer(error)) throw error
    }
  }
  return searchCatalog(catalog, query)
}

/** A registry without index answers with an error, with a page for people, or wants to know who asks. */
function isAnswer(error: unknown): boolean {
  return isPodlibError(error) && (typeof error.details.status === 'number' || error.code === 'ERR_REGISTRY_PROTOCOL')
}

async function searchIndex(options: ListingOptions, { term, limit }: RepositoryQuery): Promise<FoundRepository[]> {
  const { endpoint, retry, maxPages } = options
  const context: RequestContext = { endpoint, wanted: 'catalog', what: `search of ${endpoint.registry}` }
  const found = new Map<string, FoundRepository>()
  for (let page = 1; page <= maxPages; page++) {
    const before = found.size
    const query = new URLSearchParams({ q: term, n: String(Math.min(limit, PAGE_SIZE)), ...(page > 1 && { page: String(page) }) })
    const { document } = (await retry(() => fetchPage(options, context, `/v1/search?${query}`))).page
    const { results, num_pages } = (document ?? {}) as { results?: unknown; num_pages?: unknown }
    if (!Array.isArray(results)) throw protocolError(context, "its 'results' is no list")
    for (const result of results as unknown[]) {
      const repository = foundRepository(endpoint.registry, result)
      if (repository) found.set(repository.repository, repository)
    }
    // A registry that knows no pages sends the first one again.
    if (found.size >= limit || found.size === before || typeof num_pages !== 'number' || page >= num_pages) break
  }
  return [...found.values()].slice(0, limit)
}

async function searchCatalog(options: ListingOptions, { term, limit }: RepositoryQuery): Promise<FoundRepository[]> {
  const found: FoundRepository[] = []
  for await (const repository of listRepositories(options)) {
    if (!repository.includes(term)) continue
    found.push({ repository, description: '', stars: 0, isOfficial: false, isAutomated: false })
    if (found.length >= limit) break
  }
  return found
}

function foundRepository(registry: string, result: unknown): FoundRepository | undefined {
  if (typeof result !== 'object' || result === null) return undefined
  const { name, description, star_count, is_official, is_automated } = result as Record<string, unknown>
  if (!isRepository(registry, name)) return undefined
  return {
    // Docker Hub leaves out what official images are below.
    repository: registry === HUB_INDEX && !name.includes('/') ? `library/${name}` : name,
    description: typeof description === 'string' ? plainText(description, 1000) : '',
    stars: typeof star_count === 'number' && star_count > 0 ? Math.floor(star_count) : 0,
    isOfficial: is_official === true,
    isAutomated: is_automated === true,
  }
}

/** Docker Hub is searched at another host than images are fetched from. */
export const HUB_INDEX = 'index.docker.io'
