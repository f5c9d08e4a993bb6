export type {
  BindMountConfig,
  ContainerConfig,
  DeviceConfig,
  HealthcheckConfig,
  LifecycleConfig,
  MountConfig,
  NamesConfig,
  NamespaceConfig,
  NamespacesConfig,
  ProcessConfig,
  ResourcesConfig,
  RlimitConfig,
  SecurityConfig,
  TmpfsMountConfig,
  VolumeMountConfig,
} from './bundle/container-config.ts'
export type {
  BindMountOptions,
  CreateContainerOptions,
  DeviceOptions,
  Duration,
  HealthcheckOptions,
  IdRange,
  IsolationOptions,
  MountFlag,
  MountOptions,
  NamespaceMode,
  NetworkOption,
  ProcessOptions,
  ResourceOptions,
  SecurityOptions,
  Size,
  TmpfsMountOptions,
  UlimitValue,
  UserNamespaceOption,
  VolumeMountOptions,
} from './bundle/container-options.ts'
export { type AbortOptions, Container, EphemeralContainer } from './container/container.ts'
export { type ContainerSpec, Containers } from './container/containers.ts'
export type { ExecOptions, ExecResult, OutputEncoding, SpawnOptions } from './container/exec.ts'
export type { ContainerInfo, ContainerInfoBase } from './container/inspect.ts'
export type { ContainerSummary, ListContainersOptions } from './container/list.ts'
export type { LogEntry, LogOptions } from './container/logs.ts'
export { ContainerProcess, type ProcessExit } from './container/process.ts'
export type { PruneContainersOptions, PrunedContainers } from './container/prune.ts'
export type { RemoveOptions } from './container/remove.ts'
export type { RunOptions, RunResult } from './container/run-options.ts'
export type { ContainerStats, StatsOptions } from './container/stats.ts'
export type { StopOptions } from './container/stop.ts'
export type { ExitStatus } from './container/wait.ts'
export { ERROR_KINDS, type PodlibErrorCode, type PodlibErrorKind } from './errors/codes.ts'
export { type ErrorDetails, type FailedProgram, isPodlibError, PodlibError, type PodlibErrorOptions } from './errors/errors.ts'
export type {
  ContainerEventAttributes,
  EventAction,
  EventAttributes,
  EventDraft,
  EventType,
  ExitAttributes,
  ImageEventAttributes,
  NetworkEventAttributes,
  PodEventAttributes,
  PodlibEvent,
  VolumeEventAttributes,
} from './events/event.ts'
export type { EventFilter, EventQuery } from './events/event-log.ts'
export type { BuildOptions, BuildOutput, BuildProgress, BuildStep } from './image/build/options.ts'
export type { BlobCounts, CopiedImage, CopyImageOptions, CopyProgress } from './image/copy/options.ts'
export type { ImageChange, ImageDiffOptions } from './image/diff.ts'
export type { ImageDiskUsage } from './image/disk-usage.ts'
export type { ImageFilter } from './image/filter-images.ts'
export type { ImageHistoryStep } from './image/history.ts'
export { Image } from './image/image.ts'
export { type EvaluateTrustOptions, ImageTrust, type TrustOverview, type TrustScope } from './image/image-trust.ts'
export { type FindImageOptions, Images } from './image/images.ts'
export type { ImportOptions, ImportProgress } from './image/import.ts'
export type { ImageInfo, ImageSummary } from './image/inspect.ts'
export type { LayerCompression } from './image/layer-blobs.ts'
export type { LoadOptions } from './image/load.ts'
export { ImageMount, type ImageMountInfo } from './image/mount.ts'
export type { PullProgress } from './image/progress.ts'
export type { LayerProof } from './image/prove-layers.ts'
export type { PrunedImages, PruneImagesOptions } from './image/prune.ts'
export type { PullOptions } from './image/pull.ts'
export type { PullPolicy } from './image/pull-policy.ts'
export type { PushedImage, PushImageOptions, PushProgress } from './image/push/options.ts'
export type { RemovedImage, RemoveImageOptions } from './image/remove.ts'
export type { SavedImageInfo, SaveOptions, SaveProgress, SaveStreamOptions } from './image/save.ts'
export type { SearchFilters, SearchOptions, SearchResult, SearchResults } from './image/search.ts'
export type { ImageTreeLayer } from './image/tree.ts'
export type { ImageVerification, VerifyImageOptions } from './image/verify-stored.ts'
export type { RuntimeOptions } from './options.ts'
export { type CredentialFileOptions, type LoginOptions, type LoginResult, Registries } from './registries.ts'
export type { CredentialExplanation } from './registry/credentials.ts'
export type { LoggedOut, LoggedOutOfAll } from './registry/forget-credential.ts'
export type { CredentialPlace, KeepOptions } from './registry/keep-credential.ts'
export type { StoredCredential } from './registry/list-credentials.ts'
export type { Credential, RegistryWarning } from './registry/types.ts'
export { Runtime, type RuntimeInfo } from './runtime.ts'
export type { Digest } from './spec/digest.ts'
export type { ImageConfig, ImageHealthcheck, ImageHistoryEntry, ImageRunConfig } from './spec/image.ts'
export type { Platform } from './spec/platform.ts'
export type { ContainerStatus } from './state/transition.ts'
export type * from './trust/policy.ts'
export type { PolicyScope } from './trust/scopes.ts'
export type { Attempt, RequirementVerdict, TrustDecision } from './trust/verifier.ts'
export type { Operation } from './util/operation.ts'
