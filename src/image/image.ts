import type { Context } from '../lifecycle/context.ts'
import type { Operation } from '../util/operation.ts'
import { diffImage, type ImageChange, type ImageDiffOptions } from './diff.ts'
import { type ImageHistoryStep, imageHistory } from './history.ts'
import { type ImageInfo, inspectImage } from './inspect.ts'
import { type ImageMount, mountImage } from './mount.ts'
import type { PushedImage, PushImageOptions, PushProgress } from './push/options.ts'
import { type RemovedImage, type RemoveImageOptions, removeImage } from './remove.ts'
import type { SavedImageInfo, SaveOptions, SaveProgress } from './save.ts'
import { pushLazily, saveLazily } from './save-lazily.ts'
import { tagImage, untagImage } from './tag.ts'
import { type ImageTreeLayer, imageTree } from './tree.ts'
import type { ImageVerification, VerifyImageOptions } from './verify-stored.ts'

/** An image of the store. A thin handle: what it tells is read when it is asked. @public */
export class Image {
  /** Hexadecimal part of the config's digest. */
  readonly id: string
  /** The name it was asked for by, in full. */
  readonly name: string
  readonly #context: Context

  /** @internal */
  constructor(context: Context, id: string, name: string) {
    this.#context = context
    this.id = id
    this.name = name
  }

  /** @throws ERR_IMAGE_NOT_FOUND when it was removed */
  async inspect(): Promise<ImageInfo> {
    return inspectImage(this.#context, this.id)
  }

  /** The steps of its build, oldest first. @throws ERR_IMAGE_NOT_FOUND */
  async history(): Promise<ImageHistoryStep[]> {
    return imageHistory(this.#context, this.id)
  }

  /** Asks a policy again about it, as what it was pulled as by its name here. See `images.verify`. */
  async verify(options?: VerifyImageOptions): Promise<ImageVerification> {
    const { verifyStored } = await import('./verify-stored.ts')
    return verifyStored(this.#context, this, options)
  }

  /** Its layers, bottom first, with the other images that have them. @throws ERR_IMAGE_NOT_FOUND */
  async tree(): Promise<ImageTreeLayer[]> {
    return imageTree(this.#context, this.id)
  }

  /** What its uppermost layer changes, or in what it differs from another image. @throws ERR_IMAGE_NOT_FOUND */
  diff(options?: ImageDiffOptions): Promise<readonly ImageChange[]> {
    return diffImage(this.#context, this.id, options)
  }

  /**
   * Mounts it read-only at a path of its own, until it is unmounted or the runtime is closed.
   *
   * @example
   * ```ts
   * await using mount = await image.mount()
   * const release = await readFile(join(mount.path, 'etc/os-release'), 'utf8')
   * ```
   * @throws ERR_IMAGE_NOT_FOUND, ERR_MOUNT_FAILED
   */
  mount(): Promise<ImageMount> {
    return mountImage(this.#context, this.id)
  }

  /** Saves it, under the name it was asked for by. See `images.save`. */
  save(options: SaveOptions): Operation<SavedImageInfo[], SaveProgress> {
    return saveLazily(this.#context, [{ id: this.id, name: this.name }], options)
  }

  /** Pushes it, without a destination as what it was asked for by. See `images.push`. */
  push(destination?: string, options?: PushImageOptions): Operation<PushedImage, PushProgress> {
    return pushLazily(this.#context, { image: { id: this.id, name: this.name }, destination, options })
  }

  /** Gives it one more name and resolves to that in full. */
  tag(name: string): Promise<string> {
    return tagImage(this.#context, this.id, name)
  }

  /** Takes a name away, or all of them. */
  untag(name?: string): Promise<void> {
    return untagImage(this.#context, this.id, name)
  }

  /** @throws ERR_IMAGE_IN_USE when a container uses it, and without `force` when it has several names or is mounted */
  remove(options?: RemoveImageOptions): Promise<RemovedImage> {
    return removeImage(this.#context, this.id, this.name, options)
  }
}
