import type { CreateContainerOptions } from '../bundle/container-options.ts'
import { isPodlibError } from '../errors/errors.ts'
import type { PullPolicy } from '../image/pull-policy.ts'
import type { Context } from '../lifecycle/context.ts'
import { findContainer } from '../state/container-table.ts'
import { checkOptions } from '../util/options.ts'
import { ABORT_OPTIONS, type AbortOptions, Container, EphemeralContainer } from './container.ts'
import { imageFor } from './container-image.ts'
import { createContainer } from './create.ts'
import { type ContainerSummary, type ListContainersOptions, listContainers } from './inspect.ts'
import { removeContainer } from './remove.ts'
import { startContainer } from './start.ts'

/** @public */
export interface ContainerSpec extends CreateContainerOptions {
  /** Name, digest or id of an image; with `{ id }` it must be in the store. */
  readonly image: string | { readonly id: string }
  /** When a registry is asked for the image, if it is given by a name. @defaultValue `'missing'` */
  readonly pull?: PullPolicy
}

/** The containers of a store. @public */
export class Containers {
  readonly #context: Context

  /** @internal */
  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Creates a container and decides everything about it. Nothing runs, and nothing is made on the host before its start. An image
   * that is not in the store is pulled, unless `pull` says otherwise; an abort stops that.
   *
   * @throws ERR_IMAGE_NOT_FOUND, what a pull throws, ERR_CONTAINER_EXISTS, ERR_INVALID_ARGUMENT, ERR_OPTION_UNSUPPORTED,
   * ERR_IMAGE_CONFIG_INVALID, and the signal's reason
   */
  create(spec: ContainerSpec & { readonly ephemeral: true }, options?: AbortOptions): Promise<EphemeralContainer>
  create(spec: ContainerSpec, options?: AbortOptions): Promise<Container>
  async create(spec: ContainerSpec, abort: AbortOptions = {}): Promise<Container> {
    checkOptions('containers.create', abort, ABORT_OPTIONS)
    return this.#create(spec, abort.signal)
  }

  /**
   * Creates a container and starts it. One that cannot be started, or whose start is aborted, is not left behind.
   *
   * @throws what {@link Containers.create} and `container.start` throw
   */
  run(spec: ContainerSpec & { readonly ephemeral: true }, options?: AbortOptions): Promise<EphemeralContainer>
  run(spec: ContainerSpec, options?: AbortOptions): Promise<Container>
  async run(spec: ContainerSpec, abort: AbortOptions = {}): Promise<Container> {
    checkOptions('containers.run', abort, ABORT_OPTIONS)
    const container = await this.#create(spec, abort.signal)
    try {
      await startContainer(this.#context, container.id, abort.signal)
      return container
    } catch (error) {
      await removeContainer(this.#context, container.id, { force: true }).catch(() => {})
      throw error
    }
  }

  /** Finds a container by name, id or the beginning of an id. @throws ERR_CONTAINER_NOT_FOUND, ERR_CONTAINER_AMBIGUOUS */
  async get(nameOrId: string): Promise<Container> {
    const { id, name } = findContainer(this.#context.db, nameOrId)
    return new Container(this.#context, id, name)
  }

  /** Like {@link Containers.get}, but undefined for one that is not there. */
  async find(nameOrId: string): Promise<Container | undefined> {
    try {
      return await this.get(nameOrId)
    } catch (error) {
      if (isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) return undefined
      throw error
    }
  }

  /** All containers, oldest first. */
  async list(options?: ListContainersOptions): Promise<ContainerSummary[]> {
    return listContainers(this.#context, options)
  }

  async #create({ image, pull, ...options }: ContainerSpec, signal: AbortSignal | undefined): Promise<Container> {
    const wanted = await imageFor(this.#context, image, { policy: pull, signal, options })
    const { row } = await createContainer(this.#context, { image: wanted, options })
    return options.ephemeral ? new EphemeralContainer(this.#context, row.id, row.name) : new Container(this.#context, row.id, row.name)
  }
}
