import type { Credential } from '../../registry/types.ts'
import type { Digest } from '../../spec/digest.ts'
import type { Platform } from '../../spec/platform.ts'
import type { BlobCounts } from '../copy/options.ts'
import type { LayerCompression } from '../layer-blobs.ts'

/** @public */
export interface PushImageOptions {
  /**
   * Of the layers. Without it, an image whose layers the registry has as they came goes there as it came, and what must be
   * compressed anew is by gzip; with it, only layers that are so compressed count. A `docker-archive` has none.
   */
  readonly compression?: LayerCompression
  /** Of the manifest. Without it, that of the manifest that came, or else `oci`. `v2s2` is Docker's, which knows no zstd. */
  readonly format?: 'oci' | 'v2s2'
  /** Which of the images that a name stands for. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /** For the registry; never stored. @defaultValue what is found for it as for a pull */
  readonly credential?: Credential
  /**
   * Whether the signatures that are kept with an image go along where its manifest does, byte for byte: to the lookaside
   * directory, attachment or referrers where they are looked for, as far as registries.d names such places, and to `dir:`.
   * @defaultValue `'keep'`
   */
  readonly signatures?: 'keep' | 'remove'
  /** Stops the push. The registry may keep blobs until it collects garbage, but no tag; files are as they were. */
  readonly signal?: AbortSignal
}

/** What a push is at. Layers report for themselves, several at a time. @public */
export type PushProgress =
  | { readonly phase: 'prepare' | 'publish'; readonly reference: string }
  | {
      /** `compress` and `upload`: at work; the others say how it ended. */
      readonly phase: 'compress' | 'upload' | 'uploaded' | 'mounted' | 'present'
      /** Diff ID. */
      readonly layer: Digest
      /** Of the blob, sent so far. */
      readonly bytes: number
      /** 0 while it is being compressed. */
      readonly totalBytes: number
    }

/** @public */
export interface PushedImage {
  readonly id: string
  /** Where it is now: the full name, or the transport with its path. */
  readonly destination: string
  /** Of the manifest there. Archives of Docker have none. */
  readonly manifestDigest: Digest | undefined
  /** The manifest is one that the image came with, byte for byte: its digest is the same, and its signatures hold. */
  readonly verbatim: boolean
  readonly layers: BlobCounts
  /** How many signatures went along. */
  readonly signatures: number
}

/** Reports of one layer replace each other while nobody reads them. */
export function pushProgressKey(progress: PushProgress): string {
  return 'layer' in progress ? progress.layer : progress.phase
}
