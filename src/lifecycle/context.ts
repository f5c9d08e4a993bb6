import type { ConfigDefaults } from '../bundle/config-defaults.ts'
import type { ContainerConfig } from '../bundle/container-config.ts'
import type { HostFacts } from '../bundle/host-facts.ts'
import type { EventLog } from '../events/event-log.ts'
import type { Hook } from '../hooks/hook.ts'
import type { CgroupLayout } from '../host/cgroup.ts'
import type { Host } from '../host/host.ts'
import type { Locks } from '../lock/locks.ts'
import type { LogDriver } from '../log/log-driver.ts'
import type { Monitor } from '../monitor/monitor.ts'
import type { OciRuntime } from '../oci-runtime/oci-runtime.ts'
import type { RegistryClient } from '../registry/client-interface.ts'
import type { CredentialStore } from '../registry/credentials.ts'
import type { RegistriesConf } from '../registry/registries-conf.ts'
import type { RegistryWarning } from '../registry/types.ts'
import type { Platform } from '../spec/platform.ts'
import type { SeccompProfile } from '../spec/seccomp-profile.ts'
import type { Database } from '../state/database.ts'
import type { ImageStores } from '../storage/additional/image-stores.ts'
import type { LayerReference, StorageDriver } from '../storage/storage-driver.ts'
import type { Policy } from '../trust/policy.ts'
import type { SignatureConfig } from '../trust/registries-d.ts'
import type { ExitWatch } from './exit-watch.ts'
import type { StorePaths } from './paths.ts'

/**
 * The wired parts, handed to every verb. What costs time to set up (worker, registry client, policy) is set up on first
 * use: listing and inspecting need none of it.
 */
export interface Context {
  readonly paths: StorePaths
  readonly db: Database
  readonly locks: Locks
  readonly events: EventLog
  readonly host: () => Promise<Host>
  readonly storage: () => Promise<StorageDriver>
  /** Image stores of other programs. */
  readonly imageStores: ImageStores
  /** By name or absolute path; without one the default of this runtime. */
  readonly ociRuntime: (nameOrPath?: string) => Promise<OciRuntime>
  readonly monitor: () => Promise<Monitor>
  /** Absolute path of a helper program. @throws ERR_PROGRAM_MISSING */
  readonly findProgram: (name: HelperProgram) => string
  readonly logDriver: (name: ContainerConfig['log']['driver']) => LogDriver
  readonly machine: () => Promise<Machine>
  readonly registry: () => Promise<RegistryClient>
  readonly registriesConf: () => Promise<RegistriesConf>
  /** The credentials of this runtime; or of one file, and nowhere else. */
  readonly credentials: (authFile?: string) => Promise<CredentialStore>
  readonly onRegistryWarning: (warning: RegistryWarning) => void
  readonly trust: () => Promise<Trust>
  readonly hooks: () => Promise<readonly Hook[]>
  /** `DOCKER_HOST`, for images of a Docker daemon. */
  readonly dockerHost: string | undefined
  /** The platform of this machine. */
  readonly platform: Platform
  readonly exits: ExitWatch
  /** What images say of users, by their layers. */
  readonly userFiles: Map<string, UserFiles>
  readonly defaults: ConfigDefaults
  readonly bootId: string
  /** What conmon runs when a container ends, if no podlib process is alive. */
  readonly exitCommand: () => Promise<readonly string[]>
  /** This process, as the owner of what must not outlive it. */
  readonly owner: { readonly pid: number; readonly startTime: number }
  readonly background: BackgroundWork
  /** Aborted when the runtime is being closed: what cannot go on without it ends then. */
  readonly closing: AbortSignal
}

/** What is run off the hot path, and may be missing until somebody needs it. */
export type HelperProgram = 'buildah' | 'flock' | 'setpriv' | 'sh' | 'unshare'

/** `/etc/passwd` and `/etc/group`; null where there is none. */
export interface UserFiles {
  readonly passwd: Uint8Array | null
  readonly group: Uint8Array | null
}

/** Facts about the machine that a bundle is generated from; looked up once a runtime. */
export interface Machine {
  readonly facts: HostFacts
  readonly cgroups: CgroupLayout
  readonly seccompProfile: SeccompProfile | undefined
}

/** What decides which images may be used. */
export interface Trust {
  readonly policy: Policy
  readonly signatureConfig: SignatureConfig
  /** The user's home directory; undefined for root. */
  readonly home: string | undefined
}

/** Work that a verb starts and nobody waits for but `Runtime.close()`. */
export interface BackgroundWork {
  add(work: Promise<unknown>): void
  settled(): Promise<void>
}

/** What is kept with a container's row: the decisions of create. */
export interface StoredContainer {
  readonly config: ContainerConfig
  /** Path of the OCI runtime that the container was created for: changing the default must not break it. */
  readonly ociRuntime: string
  /** The verb that made it reads its log and removes it when it ends: nobody else does while its owner lives. */
  readonly attended?: true
  /** Layers of its image, bottom first. */
  readonly layers: readonly LayerReference[]
  /** What was left out of what its image asked for, in words; absent for nothing. */
  readonly warnings?: readonly string[]
}
