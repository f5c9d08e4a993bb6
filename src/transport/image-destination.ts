import type { RawManifest } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'
import type { SinkContent } from './file-sink.ts'

/** A blob on its way: bytes of known length and digest. Whoever opens it proves them, and fails before the end if they are wrong. */
export interface BlobToPut extends SinkContent {
  /** Repositories of the same registry that have it. */
  readonly mountFrom?: readonly string[]
}

/** What became of a blob: it was there, it was made available without sending it, or it was written. */
export type BlobOutcome = 'present' | 'mounted' | 'uploaded'

export interface PutBlobOptions {
  readonly onProgress: (bytes: number) => void
  readonly signal: AbortSignal
}

/**
 * Where an image is copied to with its manifest, be that a registry, an OCI layout or a directory. Nothing can be seen there
 * as an image before {@link ImageDestination.finish}; {@link ImageDestination.abandon} takes away what can be taken away.
 */
export interface ImageDestination {
  /** For messages and results. */
  readonly where: string
  /** Blobs that may be put at a time. An archive is written from front to back. */
  readonly parallel: number
  putBlob(blob: BlobToPut, options: PutBlobOptions): Promise<BlobOutcome>
  /** A manifest that the outermost index leads to. */
  putManifest(raw: RawManifest, signal: AbortSignal): Promise<void>
  /** Signature files of a manifest, if this is a place for files: see the `dir` transport. */
  putSignatureFiles?(digest: Digest, files: readonly Buffer[], isRoot: boolean): Promise<void>
  /** Publishes the image: everything that it leads to is there. */
  finish(root: RawManifest, signal: AbortSignal): Promise<void>
  abandon(): Promise<void>
}
