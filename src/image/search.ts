import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { RegistryClient } from '../registry/client-interface.ts'
import type { FoundRepository } from '../registry/search.ts'
import { parseReference } from '../spec/reference.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { runBounded } from '../util/run-bounded.ts'

/** @public */
export interface SearchFilters {
  readonly isOfficial?: boolean
  readonly isAutomated?: boolean
  /** At least so many. */
  readonly stars?: number
}

/** @public */
export interface SearchOptions {
  /** Which registries are asked. @defaultValue the one that the term begins with, else the search registries */
  readonly registries?: readonly string[]
  /** Results of each registry at most. @defaultValue 25 */
  readonly limit?: number
  readonly filters?: SearchFilters
  /** Give the tags of the repository that is named exactly so, instead of repositories. @defaultValue false */
  readonly listTags?: boolean
  readonly signal?: AbortSignal
}

/** @public */
export interface SearchResult {
  readonly registry: string
  /** In full, good for a pull: `registry.example/team/app`, with a tag when tags were asked for. */
  readonly name: string
  readonly tag?: string
  /** What follows is only known of registries that have a search of their own, such as Docker Hub. */
  readonly description: string
  readonly stars: number
  readonly isOfficial: boolean
  readonly isAutomated: boolean
}

/** @public */
export interface SearchResults {
  /** In the order of the registries. */
  readonly results: readonly SearchResult[]
  /** Registries that gave none because they failed. */
  readonly failures: readonly { readonly registry: string; readonly error: PodlibError }[]
}

const SEARCH_OPTIONS: OptionNames<SearchOptions> = { registries: true, limit: true, filters: true, listTags: true, signal: true }

const DEFAULT_LIMIT = 25
const MAX_LIMIT = 10_000
/** Results asked for where some will be filtered out. */
const FILTERED_LIMIT = 100
const PARALLEL_REGISTRIES = 6

/**
 * Searches registries for images. One that fails does not hide what others have found.
 *
 * @throws the error of the only registry, or ERR_SEARCH_FAILED with those of all, when none has answered
 */
export async function searchImages(context: Context, term: string, options: SearchOptions = {}): Promise<SearchResults> {
  checkOptions('images.search', options, SEARCH_OPTIONS)
  const { limit = DEFAULT_LIMIT, signal } = options
  checkSearch(term, options)
  signal?.throwIfAborted()
  const { registries, words } = await placesOf(context, term, options)
  const client = await context.registry()
  const found = new Map<string, readonly SearchResult[]>()
  const failures: { registry: string; error: PodlibError }[] = []
  const searchOne = async (registry: string, either: AbortSignal) => {
    try {
      const request = { registry, words, limit, signal: either }
      found.set(
        registry,
        options.listTags ? await tagsOf(client, request) : await searchOneRegistry(client, request, options.filters ?? {}),
      )
    } catch (error) {
      either.throwIfAborted()
      if (!isPodlibError(error)) throw error
      failures.push({ registry, error })
    }
  }
  await runBounded(registries, PARALLEL_REGISTRIES, searchOne, signal)
  if (found.size === 0) throw allFailed(failures)
  return { results: registries.flatMap((registry) => found.get(registry) ?? []), failures }
}

function checkSearch(term: string, { limit = 1, filters = {} }: SearchOptions): void {
  if (typeof term !== 'string' || term.length > 255 || /\p{Cc}/u.test(term))
    throw new PodlibError('ERR_INVALID_ARGUMENT', 'a search term has at most 255 characters, and no control characters')
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new PodlibError('ERR_INVALID_ARGUMENT', `the limit of a search is a whole number from 1 to ${MAX_LIMIT}, not ${limit}`)
  const { stars = 0 } = filters
  if (!(stars >= 0)) throw new PodlibError('ERR_INVALID_ARGUMENT', `the filter stars is the least number of stars, not ${stars}`)
}

async function placesOf(context: Context, term: string, options: SearchOptions): Promise<{ registries: string[]; words: string }> {
  if (options.registries === undefined) {
    const slash = term.indexOf('/')
    const head = slash < 0 ? '' : term.slice(0, slash)
    // The same rule by which the registry of an image name is known.
    if (head === 'localhost' || /[.:]/.test(head)) return { registries: [head], words: term.slice(slash + 1) }
  }
  const registries = [...new Set(options.registries ?? (await context.registriesConf()).unqualifiedSearchRegistries)]
  if (registries.length > 0) return { registries, words: term }
  throw new PodlibError(
    'ERR_INVALID_ARGUMENT',
    `there is no registry to search for '${term}'; name one, as in 'registry.example/${term}', or set unqualified-search-registries in registries.conf`,
  )
}

interface OneSearch {
  readonly registry: string
  readonly words: string
  readonly limit: number
  readonly signal: AbortSignal
}

async function searchOneRegistry(client: RegistryClient, search: OneSearch, filters: SearchFilters): Promise<SearchResult[]> {
  const { registry, words: term, limit, signal } = search
  const isFiltered = Object.values(filters).some((filter) => filter !== undefined)
  const found = await client.search(registry, { term, limit: isFiltered ? Math.max(limit, FILTERED_LIMIT) : limit }, { signal })
  return found
    .filter((repository) => passes(repository, filters))
    .slice(0, limit)
    .map(({ repository, ...facts }) => ({ registry, name: `${registry}/${repository}`, ...facts }))
}

function passes(
  found: FoundRepository,
  { isOfficial = found.isOfficial, isAutomated = found.isAutomated, stars = 0 }: SearchFilters,
): boolean {
  return found.isOfficial === isOfficial && found.isAutomated === isAutomated && found.stars >= stars
}

async function tagsOf(client: RegistryClient, { registry, words, limit, signal }: OneSearch): Promise<SearchResult[]> {
  const reference = parseReference(`${registry}/${words}`)
  const results: SearchResult[] = []
  for await (const tag of client.tags(reference, { signal })) {
    const name = `${reference.name}:${tag}`
    results.push({ registry, name, tag, description: '', stars: 0, isOfficial: false, isAutomated: false })
    if (results.length >= limit) break
  }
  return results
}

function allFailed(failures: readonly { readonly registry: string; readonly error: PodlibError }[]): PodlibError {
  const [first] = failures
  if (first && failures.length === 1) return first.error
  const said = failures.map(({ registry, error }) => ({ registry, code: error.code, message: error.message }))
  const names = failures.map(({ registry }) => registry).join(', ')
  return new PodlibError('ERR_SEARCH_FAILED', `none of the registries ${names} could be searched; see the details for why`, {
    details: { failures: said },
    cause: new AggregateError(failures.map(({ error }) => error)),
  })
}
