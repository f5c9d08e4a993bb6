import type { Readable } from 'node:stream'
import { PodlibError } from '../errors/errors.ts'
import type { Descriptor, RawManifest } from '../spec/descriptor.ts'
import { assertDigest, type Digest, parseDigest } from '../spec/digest.ts'
import { parseReference } from '../spec/reference.ts'
import { FairLock } from '../util/fair-lock.ts'
import { fetchSmallFile } from './anonymous.ts'
import { type Authorizer, checkCredential, createAuthorizer } from './auth.ts'
import { type BlobSource, downloadBlob } from './blob.ts'
import type {
  BlobBytesOptions,
  BlobOptions,
  BlobPush,
  FetchUrlOptions,
  PushBlobOptions,
  PushContent,
  PushedManifest,
  PushOptions,
  Referrer,
  ReferrersOptions,
  RegistryClient,
  RegistryClientOptions,
  RegistryRequestOptions,
} from './client-interface.ts'
import { type CredentialMemory, createCredentialMemory } from './credential-memory.ts'
import { endpointsFor, mountPlaces, registryEndpoint } from './endpoints.ts'
import { firstEndpoint, isSameEndpoint, policyFor, preferEndpoint } from './failover.ts'
import { explainForeign, foreignSources } from './foreign.ts'
import { createHttp, type Http, type RegistryTimeouts } from './http.ts'
import { type ListingOptions, listReferrers, listRepositories, listTags } from './listings.ts'
import { getManifest, headBlob, headManifest, MAX_DOCUMENT_BYTES, manifestSelector } from './manifests.ts'
import { proveCredential } from './prove-credential.ts'
import { hasBlob, pushBlob } from './push-blob.ts'
import { pushManifest } from './push-manifest.ts'
import type { PushPlace } from './push-place.ts'
import { subjectOf } from './push-referrers.ts'
import { EMPTY_REGISTRIES_CONF } from './registries-conf.ts'
import { DEFAULT_RETRY, type RetryPolicy, withRetry } from './retry.ts'
import { type FoundRepository, HUB_INDEX, type RepositoryQuery, searchRegistry } from './search.ts'
import { createSession, type Session, type SessionMemory, type SessionOptions } from './session.ts'
import type { Credential, Endpoint, FetchedManifest, ManifestHead, RegistryTarget, RepositoryName } from './types.ts'

export type { RegistryClient, RegistryClientOptions } from './client-interface.ts'

const DEFAULT_TIMEOUTS: RegistryTimeouts = { connectMs: 15_000, headersMs: 60_000, stallMs: 30_000 }
const DEFAULT_MAX_PAGES = 1000

/** @throws ERR_INVALID_ARGUMENT for options that are none @public */
export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const http = createHttp({
    userAgent: options.userAgent ?? 'podlib',
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    certsDirectories: options.certsDirectories ?? [],
    env: options.env ?? {},
  })
  const policy = { ...DEFAULT_RETRY, ...options.retry }
  return new Client(options, { http, policy, authorizer: createAuthorizer({ http, retry: policy }) })
}

interface ClientParts {
  readonly http: Http
  readonly policy: RetryPolicy
  readonly authorizer: Authorizer
}

class Client implements RegistryClient {
  readonly #options: RegistryClientOptions
  readonly #parts: ClientParts
  readonly #memory: SessionMemory = { schemes: new Map(), warned: new Set() }
  readonly #credentials: CredentialMemory
  readonly #referrersTags = new FairLock()

  constructor(options: RegistryClientOptions, parts: ClientParts) {
    this.#options = options
    this.#parts = parts
    this.#credentials = createCredentialMemory(options.credentials)
  }

  endpoints(target: RegistryTarget): readonly Endpoint[] {
    return this.#endpoints(target, {})
  }

  async manifest(target: RegistryTarget, options: RegistryRequestOptions = {}): Promise<FetchedManifest> {
    return this.#document(target, options, (session, endpoint) => getManifest(session, endpoint, request(target, options)))
  }

  async headManifest(target: RegistryTarget, options: RegistryRequestOptions = {}): Promise<ManifestHead> {
    return this.#document(target, options, (session, endpoint) => headManifest(session, endpoint, request(target, options)))
  }

  blob(target: RegistryTarget, descriptor: Descriptor, options: BlobOptions = {}): Readable {
    const { signal, onRetry, onEndpoint, avoid = [] } = options
    const isAvoided = ({ context }: BlobSource) => avoid.some((endpoint) => isSameEndpoint(endpoint, context.endpoint))
    const { onWarning, foreignLayerHosts = [] } = this.#options
    const foreign = foreignSources(this.#parts.http, descriptor, foreignLayerHosts)
    const sources = [...this.#sources(target, descriptor, options), ...foreign].filter((source) => !isAvoided(source))
    return downloadBlob({ descriptor, sources, policy: this.#parts.policy, signal, onRetry, onEndpoint, onWarning })
  }

  async blobSize(target: RegistryTarget, digest: Digest, options: RegistryRequestOptions = {}): Promise<number> {
    return this.#document(target, options, (session, endpoint) =>
      headBlob(session, endpoint, { digest: parseDigest(digest), signal: options.signal }),
    )
  }

  async blobBytes(target: RegistryTarget, descriptor: Descriptor, options: BlobBytesOptions = {}): Promise<Buffer> {
    const { signal, onRetry, maxBytes = MAX_DOCUMENT_BYTES } = options
    const { digest, size } = descriptor
    if (size > maxBytes) {
      throw new PodlibError('ERR_REGISTRY_BODY_TOO_LARGE', `blob ${digest} has ${size} bytes, more than the ${maxBytes} allowed here`, {
        details: { digest, size, maxBytes },
      })
    }
    const sources = this.#sources(target, descriptor, options)
    const places = { endpoints: sources.map(({ context }) => context.endpoint), signal, onWarning: this.#options.onWarning }
    return firstEndpoint(places, async (endpoint, isLast) => {
      const download = downloadBlob({
        descriptor,
        sources: sources.filter(({ context }) => context.endpoint === endpoint),
        policy: policyFor(this.#parts.policy, isLast),
        signal,
        onRetry,
      })
      const bytes = Buffer.concat(await download.toArray())
      assertDigest(digest, bytes, `blob of ${endpoint.registry}/${endpoint.repository}`)
      return bytes
    })
  }

  async hasBlob(name: RepositoryName, digest: Digest, options: PushOptions = {}): Promise<boolean> {
    return hasBlob({ ...this.#pushPlace(name, options), digest: parseDigest(digest) })
  }

  async pushBlob(name: RepositoryName, content: PushContent, options: PushBlobOptions = {}): Promise<BlobPush> {
    const { mountFrom = [], onProgress, onRetry } = options
    const place = this.#pushPlace(name, options)
    const conf = this.#options.registries ?? EMPTY_REGISTRIES_CONF
    const mounts = mountPlaces({ conf, name, endpoint: place.endpoint }, mountFrom)
    return pushBlob({ ...place, content, digest: parseDigest(content.digest), mounts, onProgress, onRetry })
  }

  async pushManifest(target: RegistryTarget, raw: RawManifest, options: PushOptions = {}): Promise<PushedManifest> {
    return pushManifest({ ...this.#pushPlace(target, options), referrersTags: this.#referrersTags }, target, raw)
  }

  async *tags(name: RepositoryName, options: RegistryRequestOptions = {}): AsyncGenerator<string> {
    // Mirrors often have a part of the tags only: the registry itself is asked.
    const endpoint = this.#endpoints(name, options).at(-1)
    if (endpoint) yield* listTags(this.#listing(name, endpoint, options))
  }

  async *repositories(registry: string, options: RegistryRequestOptions = {}): AsyncGenerator<string> {
    yield* listRepositories(this.#hostListing(registry, options))
  }

  async search(registry: string, query: RepositoryQuery, options: RegistryRequestOptions = {}): Promise<FoundRepository[]> {
    const isHub = this.#host(registry).registry === 'docker.io'
    const catalog = isHub ? undefined : this.#hostListing(registry, options)
    const index = this.#hostListing(registry, options)
    // Everybody may search an index, and there is more to try: nobody is logged in, and nothing is tried for long.
    const retry: ListingOptions['retry'] = (work) =>
      withRetry(work, { policy: policyFor(this.#parts.policy, isHub), signal: options.signal })
    const endpoint = isHub ? { ...index.endpoint, registry: HUB_INDEX } : index.endpoint
    return searchRegistry({ index: { ...index, retry, endpoint, session: this.#session(async () => undefined) }, catalog }, query)
  }

  async proveCredential(registry: string, credential: Credential, signal?: AbortSignal): Promise<boolean> {
    const { http, policy } = this.#parts
    return proveCredential({ http, policy, memory: this.#memory, endpoint: this.#host(registry), credential, signal })
  }

  forgetCredentials(): void {
    this.#credentials.forget()
    this.#parts.authorizer.forget()
  }

  async *referrers(name: RepositoryName, digest: Digest, options: ReferrersOptions = {}): AsyncGenerator<Referrer> {
    const subject = parseDigest(digest)
    const target = { ...name, digest: subject }
    const places = { endpoints: this.#endpoints(target, options), signal: options.signal }
    const descriptors = await firstEndpoint(places, async (endpoint, isLast) => {
      const found: { descriptor: Descriptor; endpoint: Endpoint }[] = []
      const list = listReferrers(this.#listing(name, endpoint, options), { subject, artifactType: options.artifactType })
      for await (const descriptor of list) found.push({ descriptor, endpoint })
      // A mirror that was not told of signatures must not hide those of the registry.
      if (found.length === 0 && !isLast)
        throw new PodlibError('ERR_MANIFEST_NOT_FOUND', `${endpoint.registry} knows no referrers of ${subject}`)
      return found
    })
    for (const { descriptor, endpoint } of descriptors) {
      const manifest = await this.manifest({ ...name, digest: descriptor.digest }, { ...options, endpoint })
      if (subjectOf(manifest)?.digest === subject) yield { descriptor, manifest }
    }
  }

  async fetchUrl(url: string, { maxBytes, signal }: FetchUrlOptions): Promise<Buffer | undefined> {
    return fetchSmallFile(url, { http: this.#parts.http, policy: this.#parts.policy, maxBytes, signal })
  }

  async close(): Promise<void> {
    await this.#parts.http.close()
  }

  async #document<Result>(
    target: RegistryTarget,
    options: RegistryRequestOptions,
    work: (session: Session, endpoint: Endpoint) => Promise<Result>,
  ): Promise<Result> {
    const { signal } = options
    const session = this.#sessionFor(target, options)
    return firstEndpoint({ endpoints: this.#endpoints(target, options), signal, onWarning: this.#options.onWarning }, (endpoint, isLast) =>
      withRetry(() => work(session, endpoint), { policy: policyFor(this.#parts.policy, isLast), signal }),
    )
  }

  #endpoints(target: RegistryTarget, { endpoint }: RegistryRequestOptions): Endpoint[] {
    // Names go into URLs: the grammar is checked here, whoever the caller is.
    const { registry, repository } = parseReference(`${target.registry}/${target.repository}`)
    return preferEndpoint(endpointsFor(this.#options.registries ?? EMPTY_REGISTRIES_CONF, { ...target, registry, repository }), endpoint)
  }

  // Never a mirror: those copy from the registry, if they take anything at all.
  #pushPlace(target: RegistryTarget, options: PushOptions): PushPlace {
    const endpoint = this.#endpoints(target, {}).at(-1)
    if (!endpoint) throw new PodlibError('ERR_INTERNAL', `nothing to push ${target.registry}/${target.repository} to`)
    return { endpoint, session: this.#sessionFor(target, options), policy: this.#parts.policy, signal: options.signal }
  }

  #host(registry: string): Endpoint {
    return registryEndpoint(this.#options.registries ?? EMPTY_REGISTRIES_CONF, registry)
  }

  #hostListing(registry: string, options: RegistryRequestOptions): ListingOptions {
    const endpoint = this.#host(registry)
    return this.#listing(endpoint, endpoint, options)
  }

  #listing(name: RepositoryName, endpoint: Endpoint, options: RegistryRequestOptions): ListingOptions {
    const { signal } = options
    return {
      session: this.#sessionFor(name, options),
      endpoint,
      signal,
      maxPages: this.#options.maxPages ?? DEFAULT_MAX_PAGES,
      retry: (work) => withRetry(work, { policy: this.#parts.policy, signal }),
    }
  }

  #sources(target: RegistryTarget, descriptor: Descriptor, options: RegistryRequestOptions): BlobSource[] {
    const digest = parseDigest(descriptor.digest)
    const session = this.#sessionFor(target, options)
    return this.#endpoints(target, options).map((endpoint) => {
      const context = { endpoint, wanted: 'blob' as const, what: `blob ${endpoint.registry}/${endpoint.repository}@${digest}` }
      const path = `/v2/${endpoint.repository}/blobs/${digest}`
      const open = (range: string | undefined, signal: AbortSignal) =>
        session.open({ context, path, headers: range ? { range } : {}, signal })
      return { context, open: (range, signal) => open(range, signal).catch((error) => Promise.reject(explainForeign(error, descriptor))) }
    })
  }

  #sessionFor(target: RepositoryName, { credential: explicit }: RegistryRequestOptions): Session {
    if (explicit) checkCredential(explicit)
    return this.#session(async (endpoint, signal) =>
      explicit && endpoint.registry === target.registry ? explicit : this.#credentials.find(endpoint, signal),
    )
  }

  #session(credential: SessionOptions['credential']): Session {
    return createSession({
      http: this.#parts.http,
      authorizer: this.#parts.authorizer,
      memory: this.#memory,
      onWarning: this.#options.onWarning,
      onRefused: (endpoint) => this.#credentials.forget(endpoint),
      credential,
    })
  }
}

const request = (target: RegistryTarget, { signal }: RegistryRequestOptions) => ({ selector: manifestSelector(target), signal })
