import type { CreateContainerOptions } from '../bundle/container-options.ts'
import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { findContainer } from '../state/container-table.ts'
import { checkOptions } from '../util/options.ts'
import { Container, EphemeralContainer } from './container.ts'
import { imageFor } from './container-image.ts'
import { createContainer } from './create.ts'
import { type ContainerSummary, type ListContainersOptions, listContainers } from './inspect.ts'
import { removeContainer } from './remove.ts'
import { startContainer } from './start.ts'

/** @public */
export interface ContainerSpec extends CreateContainerOptions {
  /** Name, digest or id of an image of the store. */
  readonly image: string | { readonly id: string }
}

/** The containers of a store. @public */
export class Containers {
  readonly #context: Context

  /** @internal */
  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Creates a container and decides everything about it. Nothing runs, and nothing is made on the host before its start.
   *
   * @throws ERR_IMAGE_NOT_FOUND, ERR_CONTAINER_EXISTS, ERR_INVALID_ARGUMENT, ERR_OPTION_UNSUPPORTED, ERR_IMAGE_CONFIG_INVALID
   */
  create(spec: ContainerSpec & { readonly ephemeral: true }): Promise<EphemeralContainer>
  create(spec: ContainerSpec): Promise<Container>
  async create(spec: ContainerSpec): Promise<Container> {
    const { image, ...options } = spec
    const { row } = await createContainer(this.#context, { image: await imageFor(this.#context, image, { policy: 'never' }), options })
    return options.ephemeral ? new EphemeralContainer(this.#context, row.id, row.name) : new Container(this.#context, row.id, row.name)
  }

  /** Creates a container and starts it. One that cannot be started is not left behind. */
  run(spec: ContainerSpec & { readonly ephemeral: true }, options?: { readonly signal?: AbortSignal }): Promise<EphemeralContainer>
  run(spec: ContainerSpec, options?: { readonly signal?: AbortSignal }): Promise<Container>
  async run(spec: ContainerSpec, options: { readonly signal?: AbortSignal } = {}): Promise<Container> {
    checkOptions('containers.run', options, { signal: true })
    const container = await this.create(spec)
    try {
      await startContainer(this.#context, container.id, options.signal)
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
}
