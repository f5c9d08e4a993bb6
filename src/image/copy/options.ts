import type { Credential } from '../../registry/types.ts'
import type { Digest } from '../../spec/digest.ts'
import type { Platform } from '../../spec/platform.ts'

/** @public */
export interface CopyImageOptions {
  /**
   * Copy an index with everything that it lists, and its bytes unchanged, instead of the image for one platform. The policy must
   * accept each of its images, by a signature of its own or of the index. @defaultValue false
   */
  readonly all?: boolean
  /** Which image of an index. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /**
   * `keep`: signatures go along, to where podlib and others look for them at the destination: files (`dir:`), a lookaside
   * directory (`lookaside-staging` or `lookaside` of registries.d, else the one that containers/image has by default), a cosign
   * attachment (with `use-sigstore-attachments`), referrers. Where there is no such place, or the manifest has to be converted,
   * the copy is refused before anything is written. Of an index without `all` only those of the chosen image go along.
   * `remove`: they are left behind. @defaultValue `'keep'`
   */
  readonly signatures?: 'keep' | 'remove'
  /** For the registry of the destination. @defaultValue what is found for it as for a pull */
  readonly credential?: Credential
  /**
   * Stops the copy. Files are then as they were; a registry may keep blobs, and images of an index that is not published,
   * until it collects garbage, but no tag.
   */
  readonly signal?: AbortSignal
}

/** What happened to the blobs of an image, each counted once. @public */
export interface BlobCounts {
  /** Sent or written. */
  readonly uploaded: number
  /** Made available by the registry itself, out of another of its repositories. */
  readonly mounted: number
  /** There already. */
  readonly present: number
}

/** What a copy is at. Blobs report for themselves, several at a time. @public */
export type CopyProgress =
  | { readonly phase: 'resolve' | 'manifest' | 'verify' | 'publish'; readonly reference: string }
  | {
      /** `copy`: bytes are on their way; the others say how it ended. */
      readonly phase: 'copy' | 'uploaded' | 'mounted' | 'present'
      readonly blob: Digest
      readonly bytes: number
      readonly totalBytes: number
    }

/** @public */
export interface CopiedImage {
  /** Where it is now: the full name, or the transport with its path. */
  readonly destination: string
  /** Of the manifest or index at the destination. Archives of Docker have none. */
  readonly manifestDigest: Digest | undefined
  /**
   * The destination cannot hold the manifest as it was, so that it got another, with another digest: Docker's in an OCI
   * layout, any in an archive of Docker, or none before. The config, and with it the image ID, is the same.
   */
  readonly converted: boolean
  /** More than one if it is an index that was copied with all its images. */
  readonly images: number
  /** Configs and layers. */
  readonly blobs: BlobCounts
  /** How many went along. */
  readonly signatures: number
}

/** Reports of one blob replace each other while nobody reads them. */
export function copyProgressKey(progress: CopyProgress): string {
  return 'blob' in progress ? progress.blob : progress.phase
}
