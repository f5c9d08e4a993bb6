import type { IdRange } from './container-options.ts'

/**
 * A container as it was decided at create: image and options merged, defaults applied, sizes in bytes, times in
 * milliseconds. It is stored as JSON, so nothing is ever `undefined`: what was not set is `null`.
 *
 * @public
 */
export interface ContainerConfig {
  readonly version: 1
  readonly hostname: string | null
  readonly labels: Readonly<Record<string, string>>
  /** The caller's only: an image cannot set one. */
  readonly annotations: Readonly<Record<string, string>>
  readonly process: ProcessConfig
  readonly rootfs: { readonly readonly: boolean; readonly readWriteTmpfs: boolean }
  readonly mounts: readonly MountConfig[]
  readonly shmSize: number
  readonly namespaces: NamespacesConfig
  readonly names: NamesConfig
  readonly security: SecurityConfig
  readonly resources: ResourcesConfig
  readonly devices: readonly DeviceConfig[]
  readonly sysctls: Readonly<Record<string, string>>
  readonly cgroupParent: string | null
  readonly log: { readonly driver: 'k8s-file' | 'json-file' | 'journald' | 'none'; readonly maxSize: number | null }
  readonly lifecycle: LifecycleConfig
}

/** @public */
export interface ProcessConfig {
  readonly args: readonly string[]
  /** `NAME=value`, each name once. HOME is added at start, when the user is known. */
  readonly env: readonly string[]
  readonly cwd: string
  /** As written: it is looked up in the container's own files at start. Empty is root. */
  readonly user: string
  readonly groups: readonly string[]
  readonly tty: boolean
  readonly stdin: boolean
  readonly umask: number
  readonly rlimits: readonly RlimitConfig[]
  readonly oomScoreAdj: number | null
  readonly init: boolean
}

/** `null` is unlimited. @public */
export interface RlimitConfig {
  /** `RLIMIT_NOFILE` */
  readonly type: string
  readonly soft: number | null
  readonly hard: number | null
}

/** @public */
export type MountConfig = BindMountConfig | TmpfsMountConfig | VolumeMountConfig

/** @public */
export interface BindMountConfig {
  readonly type: 'bind'
  readonly source: string
  readonly target: string
  readonly readonly: boolean
  readonly recursive: boolean
  readonly propagation: string
  readonly options: readonly string[]
}

/** @public */
export interface TmpfsMountConfig {
  readonly type: 'tmpfs'
  readonly target: string
  readonly readonly: boolean
  readonly size: number | null
  readonly mode: number
  readonly copyUp: boolean
  readonly options: readonly string[]
}

/** @public */
export interface VolumeMountConfig {
  readonly type: 'volume'
  /** `null`: an anonymous volume is to be made. */
  readonly name: string | null
  readonly target: string
  readonly readonly: boolean
  readonly copyUp: boolean
  readonly options: readonly string[]
  /** Declared by the image, not by the caller. */
  readonly fromImage: boolean
}

/** @public */
export type NamespaceConfig =
  | { readonly mode: 'private' | 'host' | 'none' }
  | { readonly mode: 'path'; readonly path: string }
  | { readonly mode: 'container'; readonly container: string }

/** @public */
export interface NamespacesConfig {
  readonly pid: NamespaceConfig
  /** `none`: private and without /dev/shm. */
  readonly ipc: NamespaceConfig
  readonly uts: NamespaceConfig
  readonly cgroup: NamespaceConfig
  /** `none`: private and never connected. */
  readonly network: NamespaceConfig
  /** `private` comes with `idMappings`. */
  readonly user: NamespaceConfig
  readonly idMappings: { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] } | null
}

/** @public */
export interface NamesConfig {
  readonly extraHosts: Readonly<Record<string, string>>
  readonly dnsServers: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOptions: readonly string[]
}

/** @public */
export interface SecurityConfig {
  readonly privileged: boolean
  /** The set that `capAdd` and `capDrop` change. */
  readonly capabilities: readonly string[]
  readonly capAdd: readonly string[]
  readonly capDrop: readonly string[]
  readonly noNewPrivileges: boolean
  /** `default`, `unconfined` or an absolute path. */
  readonly seccomp: string
  readonly maskedPaths: readonly string[]
  readonly unmaskedPaths: readonly string[] | 'all'
}

/** Bytes, microseconds, counts; `null` is not limited. @public */
export interface ResourcesConfig {
  readonly memory: number | null
  readonly memoryReservation: number | null
  /** Memory and swap together; -1 is unlimited. */
  readonly memorySwap: number | null
  readonly cpuQuotaMicros: number | null
  readonly cpuPeriodMicros: number | null
  readonly cpuShares: number | null
  readonly cpusetCpus: string | null
  readonly cpusetMems: string | null
  readonly pidsLimit: number | null
  readonly blkioWeight: number | null
  readonly unified: Readonly<Record<string, string>>
}

/** @public */
export interface DeviceConfig {
  readonly path: string
  readonly containerPath: string
  readonly permissions: string
}

/** @public */
export interface LifecycleConfig {
  readonly stopSignal: number
  readonly stopTimeoutMs: number
  readonly ephemeral: boolean
  readonly restart: { readonly policy: 'no' | 'always' | 'unless-stopped' | 'on-failure'; readonly maxRetries: number | null }
  readonly healthcheck: HealthcheckConfig | null
}

/** @public */
export interface HealthcheckConfig {
  readonly args: readonly string[]
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly startPeriodMs: number
  readonly retries: number
}
