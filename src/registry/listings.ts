import { isPodlibError } from '../errors/errors.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../spec/digest.ts'
import { parseStrictJson } from '../spec/json.ts'
import { parseManifest } from '../spec/manifest.ts'
import { MEDIA_TYPES } from '../spec/media-types.ts'
import { parseReference } from '../spec/reference.ts'
import { header, readBody, refuseEncoding } from './body.ts'
import { MAX_DOCUMENT_BYTES } from './manifests.ts'
import { protocolError, type RequestContext } from './registry-errors.ts'
import type { Session } from './session.ts'
import type { Endpoint } from './types.ts'

/** Fetches one page and repeats it as the policy says. */
export type WithRetry = <Result>(work: () => Promise<Result>) => Promise<Result>

/** What lists need: a way to ask, and when to stop believing that there is more. */
export interface ListingOptions {
  readonly session: Session
  readonly endpoint: Endpoint
  readonly retry: WithRetry
  readonly signal: AbortSignal | undefined
  readonly maxPages: number
}

interface Page {
  readonly document: unknown
  readonly bytes: Buffer
}

const PAGE_SIZE = 1000
const REPOSITORY = /^[a-z0-9._/-]+$/
const TAG = /^\w[\w.-]{0,127}$/

/** Lists the tags of a repository, page by page. What is no tag by the grammar is left out. */
export async function* listTags(options: ListingOptions): AsyncGenerator<string> {
  const { registry, repository } = options.endpoint
  const context: RequestContext = { endpoint: options.endpoint, wanted: 'tags', what: `tags of ${registry}/${repository}` }
  for await (const { document } of pages(options, context, `/v2/${repository}/tags/list?n=${PAGE_SIZE}`)) {
    const { tags } = (document ?? {}) as { tags?: unknown }
    if (tags === undefined || tags === null) continue
    if (!Array.isArray(tags)) throw protocolError(context, "its 'tags' is no list")
    for (const tag of tags as unknown[]) if (typeof tag === 'string' && TAG.test(tag)) yield tag
  }
}

/** Lists the repositories of a registry, page by page, if it tells. What is no name by the grammar is left out. */
export async function* listRepositories(options: ListingOptions): AsyncGenerator<string> {
  const { registry } = options.endpoint
  const context: RequestContext = { endpoint: options.endpoint, wanted: 'catalog', what: `catalog of ${registry}` }
  for await (const { document } of pages(options, context, `/v2/_catalog?n=${PAGE_SIZE}`)) {
    const { repositories } = (document ?? {}) as { repositories?: unknown }
    if (repositories === undefined || repositories === null) continue
    if (!Array.isArray(repositories)) throw protocolError(context, "its 'repositories' is no list")
    for (const name of repositories as unknown[]) if (isRepository(registry, name)) yield name
  }
}

/** Whether something that a registry sent is the name of a repository. */
export function isRepository(registry: string, name: unknown): name is string {
  if (typeof name !== 'string' || !REPOSITORY.test(name)) return false
  try {
    parseReference(`${registry}/${name}`)
    return true
  } catch {
    return false
  }
}

/**
 * Lists the descriptors of manifests that name `subject` as their subject, by the referrers API or, where
 * the registry has none, by the fallback tag.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
 */
export async function* listReferrers(
  options: ListingOptions,
  { subject, artifactType }: { subject: Digest; artifactType: string | undefined },
): AsyncGenerator<Descriptor> {
  const { registry, repository } = options.endpoint
  const context: RequestContext = {
    endpoint: options.endpoint,
    wanted: 'referrers',
    what: `referrers of ${registry}/${repository}@${subject}`,
  }
  const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
  const source = withFallback(
    pages(options, context, `/v2/${repository}/referrers/${subject}${query}`),
    pages({ ...options, maxPages: 1 }, context, `/v2/${repository}/manifests/${fallbackTag(subject)}`),
  )
  for await (const { bytes } of source) {
    const parsed = parseManifest({ bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociIndex })
    if (parsed.kind !== 'index') throw protocolError(context, 'it is no index')
    // Filtered here too: a registry may ignore the parameter.
    for (const entry of parsed.index.manifests) if (artifactType === undefined || entry.artifactType === artifactType) yield entry
  }
}

/** The tag that stands for the referrers of a digest where there is no API. */
export function fallbackTag(digest: Digest): string {
  return `${digestAlgorithm(digest).slice(0, 32)}-${digestHex(digest).slice(0, 64)}`
}

async function* withFallback(api: AsyncGenerator<Page>, fallback: AsyncGenerator<Page>): AsyncGenerator<Page> {
  let started = false
  try {
    for await (const page of api) {
      started = true
      yield page
    }
    return
  } catch (error) {
    if (started || !isAbsent(error)) throw error
  }
  try {
    yield* fallback
  } catch (error) {
    if (!isPodlibError(error, 'ERR_MANIFEST_NOT_FOUND')) throw error
  }
}

// Registries without the API answer 404, and some older ones 400 or 405 because the path means nothing to them.
function isAbsent(error: unknown): boolean {
  if (!isPodlibError(error)) return false
  return error.code === 'ERR_MANIFEST_NOT_FOUND' || error.details.status === 400 || error.details.status === 405
}

async function* pages(options: ListingOptions, context: RequestContext, first: string): AsyncGenerator<Page> {
  const seen = new Set<string>()
  let path: string | undefined = first
  while (path !== undefined) {
    if (seen.has(path)) throw protocolError(context, 'its pages lead in a circle')
    if (seen.size >= options.maxPages) throw protocolError(context, `it has more than ${options.maxPages} pages`)
    seen.add(path)
    const current: string = path
    const { page, next } = await options.retry(() => fetchPage(options, context, current))
    yield page
    path = next
  }
}

/** Fetches one page of a list. */
export async function fetchPage(
  { session, signal }: ListingOptions,
  context: RequestContext,
  path: string,
): Promise<{ page: Page; next: string | undefined }> {
  const headers = { accept: context.wanted === 'referrers' ? MEDIA_TYPES.ociIndex : 'application/json' }
  const response = await session.open({ context, path, headers, signal })
  refuseEncoding(response, context.what)
  const bytes = await readBody(response, { maxBytes: MAX_DOCUMENT_BYTES, what: 'list' })
  const document = parseStrictJson(bytes.toString('utf8'), { what: context.what, code: 'ERR_REGISTRY_PROTOCOL' })
  return { page: { document, bytes }, next: nextPath(header(response, 'link'), response.url) }
}

/**
 * The path of the next page. Only path and query of a `Link` are taken: the next page is on the host that
 * was asked, with the credentials that are for it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8288
 */
function nextPath(link: string | undefined, base: URL): string | undefined {
  for (const [, target = '', parameters = ''] of (link ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[^,;<]+)*)/g)) {
    if (!/;\s*rel\s*=\s*"?(?:[^";]*\s)?next(?:\s[^";]*)?"?\s*(?:;|$)/i.test(parameters)) continue
    if (!URL.canParse(target, base.href)) return undefined
    const { pathname, search } = new URL(target, base)
    return pathname + search
  }
  return undefined
}
