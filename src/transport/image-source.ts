import type { Readable } from 'node:stream'
import type { Descriptor, RawManifest } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'

/*
 * An image where it lies: in a registry, a directory, an archive, a Docker daemon. Whoever brings images into the store
 * reads them through these shapes and nothing else, so that staging, the policy, the choice of platform and storing are
 * written once.
 *
 * A source proves the documents that it hands out (manifest, config) by their digests. It does not prove blobs that it
 * streams or points at: whoever unpacks them hashes them on the way.
 */

/** Some bytes: a stream, or where they are in a file, which a worker then reads without a detour through this process. */
export type BlobContent = StreamedContent | { readonly file: FileRange }

export interface StreamedContent {
  readonly stream: Readable
  /**
   * For whoever could not use what came: gives the same content from another place.
   *
   * @throws the error, which then names all places, when there is no other place or the error is not for the place to answer
   */
  readonly instead?: (error: unknown) => Promise<BlobContent>
}

export interface FileRange {
  readonly path: string
  readonly offset: number
  /** Undefined for the whole of the file, however long it turns out to be. */
  readonly size: number | undefined
}

/** An image with a manifest, or with an index of several. */
export interface ManifestSource {
  readonly form: 'manifest'
  /** Names that the image has where it lies, in full. */
  readonly names: readonly string[]
  /** The outermost manifest or index; with a digest, one that an index lists. Proven. */
  manifest(digest?: Digest, signal?: AbortSignal): Promise<RawManifest>
  /** A small blob, proven. */
  blobBytes(descriptor: Descriptor, options: ReadOptions): Promise<Buffer>
  /** A blob of any size, not proven. A descriptor of a Docker schema 1 manifest has no size. */
  blob(descriptor: BlobRequest, signal?: AbortSignal): Promise<BlobContent>
  /** Signatures that lie beside the image, if it can have any. */
  signatures?(digest: Digest, options: ReadOptions): AsyncIterable<Uint8Array>
}

export type BlobRequest = Omit<Descriptor, 'size'> & { readonly size: number | undefined }

/** An image without a manifest: its config and its layers, which only their diff IDs prove (docker-archive). */
export interface ConfigSource {
  readonly form: 'config'
  readonly names: readonly string[]
  /** The exact bytes. */
  config(signal?: AbortSignal): Promise<Buffer>
  /** How many layers there are; whether that is right is for the reader of the config to say. */
  readonly layerCount: number
  /** The layer at a position, bottom first: a tar, compressed or not. */
  layer(position: number): Promise<BlobContent>
}

export type ImageSource = ManifestSource | ConfigSource

export interface ReadOptions {
  readonly maxBytes: number
  readonly signal: AbortSignal | undefined
}

/** Manifests, configs and indexes may have this many bytes. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
