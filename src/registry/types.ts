import type { RawManifest } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'

/** A repository of a registry by its logical name, as in a parsed reference. @public */
export interface RepositoryName {
  /** Host with optional port: `docker.io`, `localhost:5000`. */
  readonly registry: string
  /** Path below the registry: `library/alpine`. */
  readonly repository: string
}

/** What to fetch: a repository with a tag, a digest or both; the digest wins. @public */
export interface RegistryTarget extends RepositoryName {
  readonly tag?: string | undefined
  readonly digest?: Digest | undefined
}

/** Where a repository is really fetched from: the registry itself, or a mirror. @public */
export interface Endpoint extends RepositoryName {
  /** Certificates are not checked, and plain HTTP is tried when HTTPS does not answer. */
  readonly insecure: boolean
  readonly mirror: boolean
}

/** What a registry is shown: a user and password, or an OAuth2 identity (refresh) token. @public */
export type Credential =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string; readonly username?: string }

/** Finds the credential for a repository of one host, or for the host itself (with an empty repository); nothing found means anonymous. @public */
export type CredentialLookup = (name: RepositoryName, signal?: AbortSignal) => Promise<Credential | undefined>

/** A manifest with the endpoint that served it; ask the same endpoint for its blobs first. @public */
export interface FetchedManifest extends RawManifest {
  readonly endpoint: Endpoint
}

/** What a HEAD request tells of a manifest. Neither value is proven. @public */
export interface ManifestHead {
  readonly mediaType: string
  readonly digest: Digest | undefined
  readonly size: number | undefined
  readonly endpoint: Endpoint
}

/** A notice that a registry sent with an answer. @public */
export interface RegistryWarning {
  readonly registry: string
  readonly text: string
}

/** The parts of the environment that say where files are; the caller reads them from `process.env`. @public */
export type Environment = Readonly<Record<string, string | undefined>>

/** The host that is connected to. Docker Hub is the one registry whose name is not its address. */
export function wireHost(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry
}
