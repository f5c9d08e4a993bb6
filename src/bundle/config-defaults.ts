import { DEFAULT_CAPABILITIES } from './capabilities.ts'
import type { NetworkOption } from './container-options.ts'

/** What a container gets where neither its options nor its image say anything; the runtime's options may change it. */
export interface ConfigDefaults {
  /** `NAME=value`, below the image's. */
  readonly env: readonly string[]
  readonly capabilities: readonly string[]
  readonly seccomp: string
  readonly network: NetworkOption
  readonly cgroupNamespace: 'private' | 'host'
  readonly imageVolumes: 'anonymous' | 'tmpfs' | 'ignore'
  readonly pidsLimit: number | null
  readonly shmSize: number
  readonly umask: number
  readonly stopTimeoutMs: number
  readonly cgroupParent: string | null
  readonly logDriver: 'k8s-file' | 'json-file' | 'journald' | 'none'
  readonly logMaxSize: number | null
}

export const CONFIG_DEFAULTS: ConfigDefaults = {
  env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'container=podlib'],
  capabilities: DEFAULT_CAPABILITIES,
  seccomp: 'default',
  network: 'none',
  cgroupNamespace: 'private',
  imageVolumes: 'anonymous',
  pidsLimit: 2048,
  shmSize: 64 * 1024 * 1024,
  umask: 0o022,
  stopTimeoutMs: 10_000,
  cgroupParent: null,
  logDriver: 'k8s-file',
  logMaxSize: null,
}
