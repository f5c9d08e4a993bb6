import type { Readable } from 'node:stream'
import type { Descriptor, RawManifest } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'
import type { BlobRetry } from './blob.ts'
import type { RegistryTimeouts } from './http.ts'
import type { RegistriesConf } from './registries-conf.ts'
import type { RetryPolicy } from './retry.ts'
import type { FoundRepository, RepositoryQuery } from './search.ts'
import type {
  Credential,
  CredentialLookup,
  Endpoint,
  Environment,
  FetchedManifest,
  ManifestHead,
  RegistryTarget,
  RegistryWarning,
  RepositoryName,
} from './types.ts'

/** @public */
export interface RegistryClientOptions {
  readonly userAgent?: string
  /** Mirrors, rewrites, insecure and blocked registries; none if absent. */
  readonly registries?: RegistriesConf
  /** Finds credentials; everything is anonymous if absent. */
  readonly credentials?: CredentialLookup
  /** Directories like `/etc/containers/certs.d`, first match first. */
  readonly certsDirectories?: readonly string[]
  /** For `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`. */
  readonly env?: Environment
  readonly retry?: Partial<RetryPolicy>
  readonly timeouts?: Partial<RegistryTimeouts>
  /** Hosts (`host[:port]`) that layers with `urls` may be fetched from; none if absent. */
  readonly foreignLayerHosts?: readonly string[]
  readonly onWarning?: (warning: RegistryWarning) => void
  /** How many pages a list may have. */
  readonly maxPages?: number
}

/** @public */
export interface RegistryRequestOptions {
  readonly signal?: AbortSignal
  /** Shown to the registry of the target only, never to its mirrors. */
  readonly credential?: Credential
  /** The endpoint that served the manifest, to be asked first. */
  readonly endpoint?: Endpoint
}

/** A manifest that refers to another one. @public */
export interface Referrer {
  readonly descriptor: Descriptor
  readonly manifest: FetchedManifest
}

/**
 * Reads from registries, and writes to them. Connections, tokens and what is known of hosts are shared by all
 * calls, so there is one client per program. What reads tries mirrors in their order and the registry last;
 * what writes goes to the registry itself, never to a mirror. Both repeat what is worth repeating.
 *
 * @public
 */
export interface RegistryClient {
  /** Where a target is fetched from, in this order: its mirrors, then the registry. @throws ERR_REGISTRY_BLOCKED */
  endpoints(target: RegistryTarget): readonly Endpoint[]
  /** The exact bytes of a manifest, proven against the target's digest if it has one. */
  manifest(target: RegistryTarget, options?: RegistryRequestOptions): Promise<FetchedManifest>
  /** Type and digest of a manifest without its bytes, for a cheap look whether a tag has moved. */
  headManifest(target: RegistryTarget, options?: RegistryRequestOptions): Promise<ManifestHead>
  /**
   * A blob as a stream of exactly `descriptor.size` raw bytes, resumed when the connection breaks. The
   * digest is not checked: the consumer hashes. Errors come through the stream.
   */
  blob(target: RegistryTarget, descriptor: Descriptor, options?: BlobOptions): Readable
  /** How long a blob is, where no descriptor says it. Not proven. */
  blobSize(target: RegistryTarget, digest: Digest, options?: RegistryRequestOptions): Promise<number>
  /** A small blob in memory, proven by its digest. */
  blobBytes(target: RegistryTarget, descriptor: Descriptor, options?: BlobBytesOptions): Promise<Buffer>
  /** Whether the registry itself has a blob, whatever its mirrors have. Nothing is uploaded. */
  hasBlob(target: RepositoryName, digest: Digest, options?: PushOptions): Promise<boolean>
  /**
   * Brings a blob into a repository: not at all when it is there, by a mount from another repository of the
   * registry where one has it, else by an upload. The bytes are streamed and proven against digest and size on
   * the way; the registry never gets the last of them if they are others. A connection that breaks is resumed
   * where the registry keeps what it got, else the upload starts again.
   *
   * When it fails or is aborted the upload is cancelled, as far as the registry can be reached, and the repository is as it was.
   *
   * @throws ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH, ERR_REGISTRY_DENIED, ERR_REPOSITORY_NOT_FOUND, ERR_REGISTRY_*; what `open` throws
   */
  pushBlob(target: RepositoryName, content: PushContent, options?: PushBlobOptions): Promise<BlobPush>
  /**
   * Puts a manifest under the tag of the target, or under its own digest where the target only has that. What it
   * names has to be there before. When the manifest has a subject and the registry keeps no list of referrers
   * by itself, the list behind the referrers tag is extended; pushes of other programs at the same moment can get lost from it.
   *
   * @throws ERR_DIGEST_MISMATCH when digest and bytes do not belong together or the registry took other bytes,
   * ERR_MANIFEST_INVALID and ERR_BLOB_NOT_FOUND when the registry refuses it, ERR_REGISTRY_*
   */
  pushManifest(target: RegistryTarget, raw: RawManifest, options?: PushOptions): Promise<PushedManifest>
  /** The tags of a repository, as the registry orders them. */
  tags(name: RepositoryName, options?: RegistryRequestOptions): AsyncIterable<string>
  /** Manifests whose subject is `digest`, each fetched and proven to say so. */
  referrers(name: RepositoryName, digest: Digest, options?: ReferrersOptions): AsyncIterable<Referrer>
  /** The names of all repositories, if the registry tells them. @throws ERR_REGISTRY_UNSUPPORTED */
  repositories(registry: string, options?: RegistryRequestOptions): AsyncIterable<string>
  /** Repositories whose name or description fits, by the registry's own search or else by its list of names. */
  search(registry: string, query: RepositoryQuery, options?: RegistryRequestOptions): Promise<FoundRepository[]>
  /**
   * Shows a credential to the registry itself, to find out whether it is good.
   *
   * @returns whether the registry wanted to see it: one that lets everybody in proves nothing
   * @throws ERR_REGISTRY_UNAUTHORIZED when it is refused
   */
  proveCredential(registry: string, credential: Credential, signal?: AbortSignal): Promise<boolean>
  /** Forgets credentials and tokens: to be called when those that a lookup finds have changed. */
  forgetCredentials(): void
  /**
   * A small file from a web server, such as a signature of a lookaside: same TLS, proxies and retries as for
   * registries, but without any credentials. Undefined where there is none (404).
   */
  fetchUrl(url: string, options: FetchUrlOptions): Promise<Buffer | undefined>
  /** Ends all connections; requests under way fail. */
  close(): Promise<void>
}

/** @public */
export interface BlobOptions extends RegistryRequestOptions {
  readonly onRetry?: (retry: BlobRetry) => void
  /** Called with each endpoint that gives bytes, before the first of them is delivered. */
  readonly onEndpoint?: (endpoint: Endpoint) => void
  /** Endpoints that are not asked, because what they sent turned out wrong. */
  readonly avoid?: readonly Endpoint[]
}

/** @public */
export interface BlobBytesOptions extends BlobOptions {
  /** 4 MiB if absent. */
  readonly maxBytes?: number
}

/** @public */
export interface FetchUrlOptions {
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
}

/** @public */
export interface ReferrersOptions extends RegistryRequestOptions {
  readonly artifactType?: string
}

/** What a push may be told; it goes to the registry itself, so there is no endpoint to choose. @public */
export type PushOptions = Omit<RegistryRequestOptions, 'endpoint'>

/** A blob to be pushed. @public */
export interface PushContent {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  /** Gives the bytes from the first one on. Called again when an upload has to be repeated or resumed. */
  open(): AsyncIterable<Buffer>
}

/** @public */
export interface PushBlobOptions extends PushOptions {
  /** Repositories of the same registry that may have the blob, the likeliest first; three at most are asked. */
  readonly mountFrom?: readonly string[] | undefined
  /** Called with the bytes of the blob that were sent so far. The number falls when some have to be sent again. */
  readonly onProgress?: ((bytes: number) => void) | undefined
  /** Called before an upload goes on; `offset` is what the registry has kept, 0 when it starts again. */
  readonly onRetry?: ((retry: BlobRetry) => void) | undefined
}

/** How a blob came to be in a repository. @public */
export type BlobPush = 'present' | 'mounted' | 'uploaded'

/** @public */
export interface PushedManifest {
  /** Of the bytes that were pushed. */
  readonly digest: Digest
  /** The registry itself lists the manifest among the referrers of its subject. False too when it has no subject. */
  readonly subjectHandled: boolean
}
