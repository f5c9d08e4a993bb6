import type { Readable } from 'node:stream'
import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Platform } from '../spec/platform.ts'
import { lazyOperation, mapOperation, type Operation } from '../util/operation.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import type { BuildOptions, BuildProgress } from './build/options.ts'
import { buildProgressKey } from './build/output.ts'
import { type CopiedImage, type CopyImageOptions, type CopyProgress, copyProgressKey } from './copy/options.ts'
import type { ImageChange, ImageDiffOptions } from './diff.ts'
import { type ImageDiskUsage, imageDiskUsage } from './disk-usage.ts'
import { filterImages, type ImageFilter } from './filter-images.ts'
import { Image } from './image.ts'
import type { ImportOptions, ImportProgress } from './import.ts'
import { type ImageInfo, type ImageSummary, inspectImage, listForeignImages, listImages } from './inspect.ts'
import type { LoadOptions } from './load.ts'
import { type ImageMount, type ImageMountInfo, listImageMounts } from './mount.ts'
import { platformOption } from './platform-option.ts'
import { type PullProgress, progressKey } from './progress.ts'
import { type PrunedImages, type PruneImagesOptions, pruneImages } from './prune.ts'
import type { PullOptions } from './pull.ts'
import type { PushedImage, PushImageOptions, PushProgress } from './push/options.ts'
import { type RemovedImage, type RemoveImageOptions, removeImage } from './remove.ts'
import { findImage } from './resolve-name.ts'
import type { SavedImageInfo, SaveOptions, SaveProgress, SaveStreamOptions } from './save.ts'
import { pushLazily, saveLazily, saveStreamLazily } from './save-lazily.ts'
import type { SearchOptions, SearchResults } from './search.ts'
import { tagImage } from './tag.ts'
import type { ImageVerification, VerifyImageOptions } from './verify-stored.ts'

/** @public */
export interface FindImageOptions {
  /** Which of the images that a name stands for. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
}

const FIND_OPTIONS: OptionNames<FindImageOptions> = { platform: true }

/** The images of a store. @public */
export class Images {
  readonly #context: Context

  /** @internal */
  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Pulls an image from a registry, or from where a transport says (`oci:/path:ref`, `docker-daemon:name`, `dir:/path`):
   * awaited it gives the image, iterated it tells how far it is. An image from a registry can be used a moment before the disk has
   * it: see {@link PullOptions.durable}.
   *
   * @example
   * ```ts
   * for await (const progress of runtime.images.pull('docker.io/library/alpine:3.20')) draw(progress)
   * const image = await runtime.images.pull('docker.io/library/alpine:3.20')
   * ```
   * @throws ERR_SHORT_NAME, ERR_REGISTRY_*, ERR_MANIFEST_*, ERR_TRUST_DENIED, ERR_PLATFORM_MISMATCH, ERR_LAYER_*, ERR_DIGEST_MISMATCH, ERR_NO_SPACE
   */
  pull(name: string, options?: PullOptions): Operation<Image, PullProgress> {
    const load = async () => {
      const { pullImage } = await import('./pull.ts')
      return () => pullImage(this.#context, name, options)
    }
    return mapOperation(lazyOperation(load, progressKey), (pulled) => new Image(this.#context, pulled.id, pulled.name))
  }

  /**
   * Loads the images of an archive (of `docker save`, `podman save`, an OCI layout in a tar; compressed or not), of an OCI
   * layout, or of a stream of such an archive; what it is shows by itself, or is said as in `oci-archive:/tmp/a.tar:v1`.
   * Nothing is unpacked to a temporary place but what is compressed or streamed.
   *
   * An archive may name its images, but not take a name from an image of the store: see {@link LoadOptions}.
   *
   * @throws ERR_ARCHIVE_INVALID, ERR_ARCHIVE_TOO_LARGE, ERR_IMAGE_NAME_EXISTS, ERR_TRUST_DENIED, and what a pull throws
   */
  load(from: string | AsyncIterable<Uint8Array>, options?: LoadOptions): Operation<Image[], PullProgress> {
    const load = async () => {
      const { loadImages } = await import('./load.ts')
      return () => loadImages(this.#context, from, options)
    }
    return mapOperation(lazyOperation(load, progressKey), (loaded) =>
      loaded.map(({ id, names }) => new Image(this.#context, id, names[0] ?? id)),
    )
  }

  /**
   * Makes an image of one layer out of a root file system: a tar (compressed or not), a directory, or a stream of a tar.
   * The policy is asked, as podman does, about the transport `tarball`.
   *
   * @example
   * ```ts
   * const image = await runtime.images.import('/srv/rootfs', { name: 'mine:1', config: { Cmd: ['/bin/sh'] } })
   * ```
   * @throws ERR_TRUST_DENIED, ERR_ARCHIVE_INVALID, ERR_LAYER_*, ERR_COMPRESSION_*, ERR_IMAGE_CONFIG_INVALID, ERR_NO_SPACE
   */
  import(from: string | AsyncIterable<Uint8Array>, options?: ImportOptions): Operation<Image, ImportProgress> {
    const load = async () => {
      const { importImage } = await import('./import.ts')
      return () => importImage(this.#context, from, options)
    }
    return mapOperation(
      lazyOperation(load, ({ phase }) => phase),
      ({ id, name }) => new Image(this.#context, id, name),
    )
  }

  /**
   * Builds an image from a Containerfile (or Dockerfile) with Buildah, which must be installed. Its cache is kept in this store;
   * images that it begins with are those of this store, or pulled as `pull` does, under the same policy.
   *
   * @example
   * ```ts
   * const image = await runtime.images.build({ context: '/srv/app', name: 'app:1', network: 'host' })
   * ```
   * @throws ERR_BUILD_FAILED with the step and the last lines in `details`, ERR_CONTAINERFILE_*, ERR_PROGRAM_MISSING, and what a pull throws
   */
  build(options: BuildOptions): Operation<Image, BuildProgress> {
    const load = async () => {
      const { buildImage } = await import('./build/build.ts')
      return () => buildImage(this.#context, options)
    }
    return mapOperation(lazyOperation(load, buildProgressKey), ({ id, name }) => new Image(this.#context, id, name))
  }

  /**
   * Removes what builds have kept to be quicker the next time: their own storage, with copies of the images that they began
   * with, and the content of cache mounts. Images of the store stay.
   *
   * @throws ERR_STORE_IN_USE while something is being built
   */
  async removeBuildCache(): Promise<void> {
    const { removeBuildCache } = await import('./build/buildah.ts')
    return removeBuildCache(this.#context)
  }

  /**
   * Saves images, layers shared, as an archive or directory that podlib, podman, docker and skopeo can load. Image IDs and
   * diff IDs stay what they are.
   *
   * @throws ERR_IMAGE_NOT_FOUND, ERR_STORE_CORRUPT, ERR_NO_SPACE, ERR_PERMISSION, ERR_INVALID_ARGUMENT
   */
  save(names: string | readonly string[], options: SaveOptions): Operation<SavedImageInfo[], SaveProgress> {
    return saveLazily(this.#context, typeof names === 'string' ? [names] : names, options)
  }

  /** Like {@link Images.save}, but into a stream. Destroying the stream stops the work; failures come through it. */
  saveStream(names: string | readonly string[], options?: SaveStreamOptions): Readable {
    return saveStreamLazily(this.#context, typeof names === 'string' ? [names] : names, options)
  }

  /**
   * Pushes an image to a registry, by default as what it is called, or to where a transport says (`oci:/path:ref`,
   * `oci-archive:`, `docker-archive:`, `dir:`, `docker-daemon:name`). Awaited it tells what was pushed, iterated how far it is.
   *
   * If the registry has the layers as they came with the image, at the destination or in a repository beside it that the image
   * or another one with that layer was pulled from, the manifest goes there byte for byte: same digest, signatures still true.
   * Otherwise layers that it has in another form stand for themselves, and the rest is compressed anew, which changes the
   * digest of the manifest but never the image ID. `images.copy` changes neither.
   *
   * @example
   * ```ts
   * const { manifestDigest } = await runtime.images.push('localhost/app', 'registry.example/team/app:1.2')
   * ```
   * @throws ERR_IMAGE_NOT_FOUND, ERR_SHORT_NAME, ERR_REGISTRY_*, ERR_REPOSITORY_NOT_FOUND, ERR_STORE_CORRUPT, ERR_TRANSPORT, ERR_DOCKER_DAEMON
   */
  push(nameOrId: string, destination?: string, options?: PushImageOptions): Operation<PushedImage, PushProgress> {
    return pushLazily(this.#context, { image: nameOrId, destination, options })
  }

  /**
   * Copies an image from one place to another, without the store: between registries, files and daemons, each by name or with
   * its transport. Blobs and manifests stay byte for byte what they are, and each is proven by its digest on its way; what the
   * destination has is not fetched. The policy is asked about the source as for a pull, before anything is written.
   *
   * @example
   * ```ts
   * await runtime.images.copy('quay.io/team/app:1', 'registry.example/team/app:1', { all: true })
   * ```
   * @throws ERR_TRUST_DENIED, ERR_SIGNATURE_DESTINATION, ERR_DIGEST_MISMATCH, ERR_TRANSPORT, and what a pull and a push throw
   */
  copy(source: string, destination: string, options?: CopyImageOptions): Operation<CopiedImage, CopyProgress> {
    const load = async () => {
      const { copyImage } = await import('./copy/copy.ts')
      return () => copyImage(this.#context, source, destination, options)
    }
    return lazyOperation(load, copyProgressKey)
  }

  /**
   * Searches registries for images, or with `listTags` for the tags of one: the registry that the term begins with, or the
   * search registries. One that fails does not hide what others have found.
   *
   * @example
   * ```ts
   * const { results } = await runtime.images.search('registry.example/alpine', { limit: 10 })
   * ```
   * @throws ERR_SEARCH_FAILED when several registries were asked and none has answered, ERR_REGISTRY_* of a single one
   */
  async search(term: string, options?: SearchOptions): Promise<SearchResults> {
    const { searchImages } = await import('./search.ts')
    return searchImages(this.#context, term, options)
  }

  /** Finds an image by name, short name, digest, id or the beginning of an id. @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS */
  async get(nameOrId: string, options: FindImageOptions = {}): Promise<Image> {
    checkOptions('images.get', options, FIND_OPTIONS)
    const { row, name } = findImage(this.#context, nameOrId, platformOption(options, this.#context.platform))
    return new Image(this.#context, row.id, name)
  }

  /** Like {@link Images.get}, but undefined for an image that is not there. */
  async find(nameOrId: string, options?: FindImageOptions): Promise<Image | undefined> {
    try {
      return await this.get(nameOrId, options)
    } catch (error) {
      if (isPodlibError(error, 'ERR_IMAGE_NOT_FOUND')) return undefined
      throw error
    }
  }

  /** Every image, or those that a filter takes, the longest stored first; those of additional stores come last. */
  async list(filter: ImageFilter = {}): Promise<ImageSummary[]> {
    return filterImages(this.#context, [...listImages(this.#context), ...listForeignImages(this.#context)], filter)
  }

  /** Removes images without a name (with `all`, any) that no container was made from. */
  async prune(options?: PruneImagesOptions): Promise<PrunedImages> {
    return pruneImages(this.#context, options)
  }

  /** What images and their layers take on disk, and what builds have kept. */
  async diskUsage(options?: { readonly signal?: AbortSignal }): Promise<ImageDiskUsage> {
    return imageDiskUsage(this.#context, options)
  }

  /**
   * Asks a policy again about an image, with the signatures that were fetched when it came, and without a network. Asked for
   * by a name that it was pulled by, it is judged as that; otherwise as everything that it was pulled or loaded as, and all of
   * it must be accepted. A denial is an answer, unless `throwIfDenied` makes an error of it. What the policy of that time
   * did not ask for was not fetched: a stricter policy then denies, and says to pull again.
   *
   * @example
   * ```ts
   * const { accepted, decisions } = await runtime.images.verify('quay.io/team/app:1', { policy: '/etc/stricter.json' })
   * ```
   * @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS, ERR_POLICY_*, ERR_PROGRAM_MISSING; ERR_TRUST_DENIED with `throwIfDenied`
   */
  async verify(nameOrId: string, options: VerifyImageOptions & FindImageOptions = {}): Promise<ImageVerification> {
    const { platform, ...rest } = options
    const { row, name, named } = findImage(this.#context, nameOrId, platformOption({ platform }, this.#context.platform))
    const { verifyStored } = await import('./verify-stored.ts')
    return verifyStored(this.#context, { id: row.id, name: named ? name : row.id }, rest)
  }

  /** Everything that is known of an image. @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS */
  async inspect(nameOrId: string): Promise<ImageInfo> {
    return inspectImage(this.#context, (await this.get(nameOrId)).id)
  }

  /** Mounts an image read-only; see `image.mount`. @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS, ERR_MOUNT_FAILED */
  async mount(nameOrId: string): Promise<ImageMount> {
    return (await this.get(nameOrId)).mount()
  }

  /** The images of this store that are mounted, by this program and others. */
  async mounts(): Promise<ImageMountInfo[]> {
    return listImageMounts(this.#context)
  }

  /** What an image's uppermost layer changes, or in what it differs from another image. @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS */
  async diff(nameOrId: string, options?: ImageDiffOptions): Promise<readonly ImageChange[]> {
    return (await this.get(nameOrId)).diff(options)
  }

  /** Gives an image one more name and resolves to that in full. */
  async tag(nameOrId: string, name: string): Promise<string> {
    return tagImage(this.#context, (await this.get(nameOrId)).id, name)
  }

  /** Removes an image, or one of its several names. @throws ERR_IMAGE_IN_USE, also by id when it has several names */
  async remove(nameOrId: string, options?: RemoveImageOptions): Promise<RemovedImage> {
    const { row, name, named } = findImage(this.#context, nameOrId, this.#context.platform)
    return removeImage(this.#context, row.id, named ? name : undefined, options)
  }
}
