import { randomBytes } from 'node:crypto'
import type { CreateContainerOptions } from '../bundle/container-options.ts'
import { resolveContainerConfig } from '../bundle/resolve-config.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { transition } from '../lifecycle/state-machine.ts'
import type { ImageConfig } from '../spec/image.ts'
import type { ContainerRow, NewContainerRow } from '../state/container-row.ts'
import { insertContainer, setContainerState } from '../state/container-table.ts'
import type { LayerReference } from '../storage/storage-driver.ts'
import { crashPoint } from '../util/crash-point.ts'
import { refuseUnsupported } from './refuse-unsupported.ts'

/** The image of a new container: what its row and its config need of it. */
export interface ContainerImage {
  readonly id: string
  readonly name: string
  readonly config: ImageConfig
  readonly layers: readonly LayerReference[]
  /** Root of the additional image store that it is in. */
  readonly store: string | undefined
}

export interface CreateContainerInput {
  readonly image: ContainerImage
  readonly options: CreateContainerOptions
  /**
   * `attached` runs without a monitor, as a part of this process, and counts as running at once; `attended` has one, and its end belongs to the verb that
   * made it. @defaultValue 'monitored'
   */
  readonly mode?: 'monitored' | 'attended' | 'attached'
}

export interface CreatedContainer {
  readonly row: ContainerRow
  readonly stored: StoredContainer
}

/**
 * Decides everything about a container and writes it down. Nothing is made on the host yet: directories, mounts and
 * cgroup come with the first start, so a created container costs two rows.
 */
export async function createContainer(
  context: Context,
  { image, options, mode = 'monitored' }: CreateContainerInput,
): Promise<CreatedContainer> {
  const id = randomBytes(32).toString('hex')
  const { config, warnings: fromConfig } = resolveContainerConfig({ id, options, image: image.config, defaults: context.defaults })
  refuseUnsupported(config, typeof options.healthcheck === 'object')
  const warnings = [...fromConfig, ...(config.lifecycle.healthcheck === null ? [] : ["the image's health check is not run"])]
  const { command } = await context.ociRuntime()
  const stored: StoredContainer = {
    config,
    ociRuntime: command.path,
    layers: image.layers,
    ...(mode === 'attended' && { attended: true }),
    ...(warnings.length > 0 && { warnings }),
  }
  const { ephemeral } = config.lifecycle
  const row: NewContainerRow = {
    id,
    name: options.name ?? id.slice(0, 12),
    podId: null,
    imageId: image.store === undefined ? image.id : null,
    imageStore: image.store ?? null,
    foreignImageId: image.store === undefined ? null : image.id,
    imageName: image.name,
    createdAt: Date.now(),
    startedAt: null,
    finishedAt: null,
    exitCode: null,
    exitSignal: null,
    oomKilled: false,
    error: null,
    pid: null,
    pidStartTime: null,
    monitorPid: null,
    monitorStartTime: null,
    bootId: context.bootId,
    health: null,
    command: config.process.args,
    labels: config.labels,
    ports: [],
    ephemeral,
    ownerPid: ephemeral ? context.owner.pid : null,
    ownerStartTime: ephemeral ? context.owner.startTime : null,
    stoppedByUser: false,
    restartCount: 0,
    initStep: null,
    attached: mode === 'attached',
    network: null,
    warnings: [],
  }
  const announce = (action: 'create' | 'start') =>
    context.events.record({ type: 'container', action, id, name: row.name, attributes: { image: image.name, labels: row.labels } })
  const created = await context.db.transaction(
    () => {
      const full = insertContainer(context.db, row, stored)
      announce('create')
      if (mode !== 'attached') return full
      announce('start')
      return setContainerState(context.db, id, transition(full, { type: 'ran-attached', at: Date.now(), bootId: context.bootId }))
    },
    { durable: !ephemeral },
  )
  crashPoint('create: written')
  return { row: created, stored }
}
