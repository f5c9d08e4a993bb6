// `podlib/registry`: reading from registries and pushing to them, without a runtime, a store or root.
export { ERROR_KINDS, type PodlibErrorCode, type PodlibErrorKind } from './errors/codes.ts'
export { type ErrorDetails, type FailedProgram, isPodlibError, PodlibError, type PodlibErrorOptions } from './errors/errors.ts'
export type { BlobRetry } from './registry/blob.ts'
export type {
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
} from './registry/client-interface.ts'
export type { CredentialStoreOptions } from './registry/credential-places.ts'
export { type CredentialExplanation, type CredentialStore, createCredentialStore } from './registry/credentials.ts'
export { resolveShortName, type ShortNameCandidates } from './registry/endpoints.ts'
export type { LoggedOut, LoggedOutOfAll } from './registry/forget-credential.ts'
export type { RegistryTimeouts } from './registry/http.ts'
export type { CredentialPlace, KeepOptions } from './registry/keep-credential.ts'
export type { StoredCredential } from './registry/list-credentials.ts'
export {
  loadRegistriesConf,
  type MirrorConf,
  type PullFromMirror,
  type RegistriesConf,
  type RegistryConf,
  registriesConfPaths,
  type ShortNameMode,
} from './registry/registries-conf.ts'
export { createRegistryClient } from './registry/registry-client.ts'
export type { RetryPolicy } from './registry/retry.ts'
export type { FoundRepository, RepositoryQuery } from './registry/search.ts'
export { certsDirectories } from './registry/tls.ts'
export type {
  Credential,
  CredentialLookup,
  Endpoint,
  Environment,
  FetchedManifest,
  ManifestHead,
  RegistryTarget,
  RegistryWarning,
  RepositoryName,
} from './registry/types.ts'
export type { Descriptor, ImageIndex, ImageManifest, RawManifest } from './spec/descriptor.ts'
export type { Digest } from './spec/digest.ts'
export { assertRunnableImage, type ParsedManifest, parseManifest } from './spec/manifest.ts'
export {
  formatPlatform,
  hostPlatform,
  type Platform,
  type PlatformEntry,
  parsePlatform,
  type SelectPlatformOptions,
  selectPlatform,
} from './spec/platform.ts'
export { formatReference, isShortName, parseReference, type Reference } from './spec/reference.ts'
