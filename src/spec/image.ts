import type { Digest } from './digest.ts'
import type { Platform } from './platform.ts'

/**
 * The part of an image config that says how to run it.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#properties
 * @public
 */
export interface ImageRunConfig {
  readonly User?: string
  readonly ExposedPorts?: Readonly<Record<string, object>>
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly Volumes?: Readonly<Record<string, object>>
  readonly WorkingDir?: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
  readonly Healthcheck?: ImageHealthcheck
}

/** Docker's health check; times in nanoseconds. @public */
export interface ImageHealthcheck {
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly Retries?: number
}

/** One step of an image's build. @public */
export interface ImageHistoryEntry {
  readonly created?: string
  readonly created_by?: string
  readonly author?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

/** An image config, Docker's or OCI's. @public */
export interface ImageConfig extends Platform {
  readonly created?: string
  readonly author?: string
  readonly config?: ImageRunConfig
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] }
  readonly history?: readonly ImageHistoryEntry[]
}
