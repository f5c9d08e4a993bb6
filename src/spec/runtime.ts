/**
 * The parts of an OCI runtime configuration (`config.json`) that podlib writes.
 *
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md
 * @public
 */
export interface RuntimeSpec {
  ociVersion: string
  process?: SpecProcess
  root: { path: string; readonly?: boolean }
  hostname?: string
  mounts?: SpecMount[]
  hooks?: SpecHooks
  annotations?: Record<string, string>
  linux?: SpecLinux
}

/** @public */
export interface SpecProcess {
  terminal?: boolean
  consoleSize?: { height: number; width: number }
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] }
  args: string[]
  env?: string[]
  cwd: string
  capabilities?: SpecCapabilities
  rlimits?: { type: string; soft: number; hard: number }[]
  noNewPrivileges?: boolean
  oomScoreAdj?: number
  apparmorProfile?: string
  selinuxLabel?: string
}

/** @public */
export interface SpecCapabilities {
  bounding?: string[]
  effective?: string[]
  inheritable?: string[]
  permitted?: string[]
  ambient?: string[]
}

/** @public */
export interface SpecMount {
  destination: string
  type?: string
  source?: string
  options?: string[]
}

/** @public */
export interface SpecHook {
  path: string
  args?: string[]
  env?: string[]
  timeout?: number
}

/** @public */
export type HookStage = 'prestart' | 'createRuntime' | 'createContainer' | 'startContainer' | 'poststart' | 'poststop'

/** @public */
export type SpecHooks = Partial<Record<HookStage, SpecHook[]>>

/** @public */
export interface SpecNamespace {
  type: 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup'
  path?: string
}

/** @public */
export interface SpecIdMapping {
  containerID: number
  hostID: number
  size: number
}

/** @public */
export interface SpecLinux {
  namespaces?: SpecNamespace[]
  uidMappings?: SpecIdMapping[]
  gidMappings?: SpecIdMapping[]
  devices?: SpecDevice[]
  cgroupsPath?: string
  resources?: SpecResources
  rootfsPropagation?: string
  seccomp?: SpecSeccomp
  sysctl?: Record<string, string>
  maskedPaths?: string[]
  readonlyPaths?: string[]
  mountLabel?: string
}

/** @public */
export interface SpecDevice {
  path: string
  type: 'b' | 'c' | 'u' | 'p'
  major?: number
  minor?: number
  fileMode?: number
  uid?: number
  gid?: number
}

/** @public */
export interface SpecResources {
  devices?: { allow: boolean; type?: string; major?: number; minor?: number; access?: string }[]
  memory?: { limit?: number; reservation?: number; swap?: number; swappiness?: number; disableOOMKiller?: boolean }
  cpu?: { shares?: number; quota?: number; period?: number; cpus?: string; mems?: string }
  pids?: { limit: number }
  blockIO?: { weight?: number }
  unified?: Record<string, string>
}

/** @public */
export interface SpecSeccomp {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  syscalls?: {
    names: string[]
    action: string
    errnoRet?: number
    args?: { index: number; value: number; valueTwo?: number; op: string }[]
  }[]
}
