import type { IdMaps } from '../host/mapped-directories.ts'
import type { Digest } from '../spec/digest.ts'

/**
 * Where layers live and how a container gets a root file system from them.
 *
 * A **layer** is known by its *diff ID*, the digest of its uncompressed tar, and does not depend on what
 * lies below it: one layer serves every image that has it. What a layer is made of (its *form*) is the
 * driver's secret; callers hold diff IDs and never a path of a layer. The one exception are layers of other programs' stores,
 * which are mounted where they are and never written or removed: see {@link LayerReference}.
 *
 * A layer's life: `stage` makes it from a blob in a private directory, while both digests are computed;
 * `publish` puts it in its place by one rename; from then on it can be mounted; `removeLayer` takes it
 * away, also before it is published. One that a dead process has staged is swept when the store is next opened.
 * `seal` makes a stack of published layers fit to be used; call it before the database says that they are. They survive a power
 * cut after the next `flush`.
 *
 * A container has a writable directory over its layers: `mount` makes the merged view, `unmount` ends it and, when asked,
 * deletes the writable part. Both may be repeated.
 *
 * Worked story, a pull of two layers and a run: `stage(a)` and `stage(b)` at the same time; `publish(a)`;
 * `publish(b)`; `seal([a, b])`; `flush()`; the database commits the image. Then `mount({ id, layers: [a, b] })` gives the
 * path of the root file system; the container runs and exits; `unmount(id)`; `unmount(id, { remove: true })`.
 */
export interface StorageDriver {
  readonly name: string
  /** Unpacks a blob. On failure or abort nothing is left behind. @throws ERR_LAYER_*, ERR_DIGEST_MISMATCH, ERR_COMPRESSION_*, ERR_NO_SPACE */
  stage(source: LayerSource, options?: StageOptions): Promise<StagedLayer>
  /**
   * Moves a staged layer to its place. The caller knows that the layer is not in the store: what is at its place is of a
   * publication that was cut short, perhaps not whole on the disk, and is replaced.
   */
  publish(staged: StagedLayer): Promise<void>
  /** Idempotent. The caller knows that no image and no container uses the layer. */
  removeLayer(layer: Digest | StagedLayer): Promise<void>
  /** Takes the published layers of one image, bottom first. @returns whether something had to be made for the stack */
  seal(layers: readonly Digest[]): Promise<boolean>
  /** Waits until everything that was published and sealed is on the disk. */
  flush(): Promise<void>
  /**
   * A read-only mount has no writable part and is nobody's container; its id is any name that can be one of a file.
   *
   * @throws ERR_LAYER_NOT_FOUND when a layer is gone, ERR_MOUNT_FAILED
   */
  mount(request: MountRequest): Promise<ContainerRootfs>
  /** Where the root file system of a mounted container is. */
  rootfs(containerId: string): ContainerRootfs
  /** Ends the mount, if there is one; `remove` deletes the writable part too. */
  unmount(containerId: string, options?: { readonly remove?: boolean }): Promise<void>
  /** Writes the tar that a layer was made of, byte for byte. @throws ERR_STORE_CORRUPT */
  writeTar(diffId: Digest, target: TarTarget, signal?: AbortSignal): Promise<WrittenTar>
  /** What differs between two stacks of layers, each bottom first. Sorted by path, directories before what is in them. */
  diff(from: readonly LayerReference[], to: readonly LayerReference[], signal?: AbortSignal): Promise<readonly TreeChange[]>
  /** Deletes staged layers whose process is gone. @returns the layers that are at their place */
  sweep(): Promise<readonly Digest[]>
}

/**
 * A layer to be mounted: one of this store by its diff ID, or a directory of an additional image store, which must be as
 * overlay wants its lower directories to be.
 */
export type LayerReference = Digest | `/${string}`

/** A blob on its way in. */
export interface LayerSource {
  /** A FIFO or file that the blob is read from. */
  readonly path: string
  /** The part of the file that is the blob; all of it if absent. */
  readonly range?: { readonly offset: number; readonly size: number }
  /** What the blob must prove to be; absent for archives that name only the diff ID. */
  readonly blob?: { readonly digest: Digest; readonly size: number | undefined }
  readonly diffId?: Digest
}

export interface StageOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: StageProgress) => void) | undefined
  /** A `flush` will be waited for: the disk begins to write at once, so that little is left then. @defaultValue false */
  readonly flushSoon?: boolean | undefined
}

/** Bytes of the blob read so far, bytes of the tar written so far. */
export interface StageProgress {
  readonly bytes: number
  readonly unpackedBytes: number
  readonly entries: number
}

export interface StagedLayer {
  readonly diffId: Digest
  readonly blobDigest: Digest
  readonly blobSize: number
  /** Bytes of the uncompressed tar. */
  readonly size: number
  /** Bytes that the layer takes on disk. */
  readonly usageBytes: number
  readonly entries: number
  /** The driver's own: where it lies. */
  readonly location: string
}

/** Where a layer's tar goes. */
export interface TarTarget {
  /** A file to be made, or a FIFO that somebody reads. */
  readonly path: string
  readonly compression?: 'gzip' | 'zstd'
}

/** A path that two trees do not have in common. */
export interface TreeChange {
  /** From `/` on. What is not UTF-8 stands as `\xff`. */
  readonly path: string
  readonly kind: 'added' | 'changed' | 'deleted'
}

export interface WrittenTar {
  readonly blobDigest: Digest
  readonly blobSize: number
}

export interface MountRequest {
  readonly containerId: string
  /** Bottom first, as in the image config. */
  readonly layers: readonly LayerReference[]
  /** The container is lost in a crash anyway: no write of it needs to reach the disk. */
  readonly volatile: boolean
  /** Only shows the layers. */
  readonly readOnly?: boolean
  /** Files belong to the ids of the container's own user namespace, whose root can reach them. @throws ERR_ID_MAPPING_UNSUPPORTED */
  readonly ids?: IdMaps
}

export interface ContainerRootfs {
  readonly path: string
}
