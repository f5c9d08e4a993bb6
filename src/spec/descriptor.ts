import type { Digest } from './digest.ts'
import type { Platform } from './platform.ts'

/**
 * What a manifest says of a blob: its type, digest and size in bytes.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
 * @public
 */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly urls?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: Platform
  readonly artifactType?: string
}

/** A single image manifest, OCI or Docker v2s2, in its common shape. @public */
export interface ImageManifest {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly artifactType?: string
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

/** An OCI index or Docker manifest list. @public */
export interface ImageIndex {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
  readonly artifactType?: string
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

/** A manifest as it came: the exact bytes, their type and digest. @public */
export interface RawManifest {
  readonly mediaType: string
  readonly digest: Digest
  readonly bytes: Buffer
}
