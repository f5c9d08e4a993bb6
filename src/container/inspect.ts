import type { ContainerConfig } from '../bundle/container-config.ts'
import { PodlibError } from '../errors/errors.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { expectsProcess } from '../lifecycle/reconcile.ts'
import { withContainer } from '../lifecycle/with-container.ts'
import type { ContainerFilter, ContainerRow } from '../state/container-row.ts'
import { getContainer, getContainerConfig, listContainers as listRows } from '../state/container-table.ts'
import type { ContainerStatus } from '../state/transition.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'

/** A line of a listing. @public */
export interface ContainerSummary {
  readonly id: string
  readonly name: string
  readonly imageId: string | null
  /** Root of the additional image store that its image is in; null for the own store. */
  readonly imageStore: string | null
  readonly imageName: string | null
  readonly status: ContainerStatus
  readonly command: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly exitCode: number | null
  /** First process, in the application's process numbers. */
  readonly pid: number | null
}

/** @public */
export interface ListContainersOptions {
  /** Only these statuses. @defaultValue all */
  readonly status?: readonly ContainerStatus[]
  /** Only containers that have all of these labels. @defaultValue \{\} */
  readonly labels?: Readonly<Record<string, string>>
  /** Only containers of the image with this id. */
  readonly imageId?: string
}

const LIST_OPTIONS: OptionNames<ListContainersOptions> = { status: true, labels: true, imageId: true }

/** What is known about a container whatever its status. @public */
export interface ContainerInfoBase {
  readonly id: string
  readonly name: string
  readonly imageId: string | null
  /** Root of the additional image store that its image is in; null for the own store. */
  readonly imageStore: string | null
  readonly imageName: string | null
  /** Path of its OCI runtime. */
  readonly ociRuntime: string
  /** Everything that was decided when it was created. */
  readonly config: ContainerConfig
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  readonly restartCount: number
  /** Run without a monitor by the program that created it. */
  readonly attached: boolean
  /** Why it could not be started, or how it was lost. */
  readonly error: string | null
  /**
   * What it does not get of what was asked for, in words for people: what is invalid in its image, and, once it has been started,
   * limits that this host cannot give (a missing cgroup controller, an rlimit or an OOM score beyond what this process may set).
   */
  readonly warnings: readonly string[]
}

/** A container at one moment; `switch (info.status)` narrows it. @public */
export type ContainerInfo =
  | (ContainerInfoBase & { readonly status: 'configured' | 'removing' })
  | (ContainerInfoBase & {
      readonly status: 'created' | 'running' | 'paused' | 'stopping'
      readonly pid: number | null
      readonly monitorPid: number | null
      readonly startedAt: Date | null
    })
  | (ContainerInfoBase & {
      readonly status: 'stopped' | 'exited'
      readonly startedAt: Date | null
      readonly finishedAt: Date | null
      /** 128 + n when signal n ended it; -1 when nobody knows. */
      readonly exitCode: number | null
      readonly exitSignal: string | null
      readonly oomKilled: boolean
    })

/** All containers, oldest first: one query, nothing is asked of the host. */
export function listContainers(context: Context, options: ListContainersOptions = {}): ContainerSummary[] {
  checkOptions('containers.list', options, LIST_OPTIONS)
  const { status, labels, imageId } = options
  const filter: ContainerFilter = { ...(status && { status }), ...(labels && { labels }), ...(imageId !== undefined && { imageId }) }
  return listRows(context.db, filter).map((row) => new Summary(row))
}

type SummaryRow = ReturnType<typeof listRows>[number]

/** Parses what few readers look at only when they do: a listing of thousands stays a matter of milliseconds. */
class Summary implements ContainerSummary {
  readonly id: string
  readonly name: string
  readonly imageId: string | null
  readonly imageStore: string | null
  readonly imageName: string | null
  readonly status: ContainerStatus
  readonly exitCode: number | null
  readonly pid: number | null
  readonly #row: SummaryRow

  constructor(row: SummaryRow) {
    this.#row = row
    this.id = row.id
    this.name = row.name
    this.imageId = row.imageId ?? row.foreignImageId
    this.imageStore = row.imageStore
    this.imageName = row.imageName
    this.status = row.status
    this.exitCode = row.exitCode
    this.pid = row.pid
  }

  get command(): readonly string[] {
    return JSON.parse(this.#row.commandJson) as string[]
  }

  get labels(): Readonly<Record<string, string>> {
    return JSON.parse(this.#row.labelsJson) as Record<string, string>
  }

  get createdAt(): Date {
    return new Date(this.#row.createdAt)
  }

  get startedAt(): Date | null {
    return toDate(this.#row.startedAt)
  }

  get finishedAt(): Date | null {
    return toDate(this.#row.finishedAt)
  }

  toJSON(): ContainerSummary {
    const { id, name, imageId, imageStore, imageName, status, command, labels, createdAt, startedAt, finishedAt, exitCode, pid } = this
    return { id, name, imageId, imageStore, imageName, status, command, labels, createdAt, startedAt, finishedAt, exitCode, pid }
  }
}

/** A snapshot that is true now: what should have a process is looked at first. @throws ERR_CONTAINER_NOT_FOUND */
export async function inspectContainer(context: Context, id: string): Promise<ContainerInfo> {
  const row = getContainer(context.db, id)
  if (row === undefined) throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
  if (!expectsProcess(row.status)) return toInfo(row, getContainerConfig(context.db, id) as StoredContainer)
  return withContainer(context, id, async (session) => toInfo(session.row, session.stored))
}

function toInfo(row: ContainerRow, stored: StoredContainer): ContainerInfo {
  const { config, ociRuntime } = stored
  const { id, name, imageStore, imageName, labels, restartCount, attached, error } = row
  const base: ContainerInfoBase = {
    id,
    name,
    imageId: row.imageId ?? row.foreignImageId,
    imageStore,
    imageName,
    ociRuntime,
    config,
    labels,
    createdAt: new Date(row.createdAt),
    restartCount,
    attached,
    error,
    warnings: allWarnings(row, stored),
  }
  const startedAt = toDate(row.startedAt)
  switch (row.status) {
    case 'configured':
    case 'removing':
      return { ...base, status: row.status }
    case 'stopped':
    case 'exited': {
      const { exitCode, exitSignal, oomKilled } = row
      return { ...base, status: row.status, startedAt, finishedAt: toDate(row.finishedAt), exitCode, exitSignal, oomKilled }
    }
    default:
      return { ...base, status: row.status, pid: row.pid, monitorPid: row.monitorPid, startedAt }
  }
}

/** Of its create and of its last init. */
export function allWarnings({ warnings }: Pick<ContainerRow, 'warnings'>, stored: StoredContainer): string[] {
  return [...(stored.warnings ?? []), ...warnings]
}

function toDate(time: number | null): Date | null {
  return time === null ? null : new Date(time)
}
