import type { Context } from '../lifecycle/context.ts'
import type { ContainerFilter } from '../state/container-filter.ts'
import { listContainers as listRows } from '../state/container-listing.ts'
import type { ContainerStatus } from '../state/transition.ts'
import { checkChoice, checkOptions, invalidOption, type OptionNames } from '../util/options.ts'

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

/** Which containers; all conditions must hold. @public */
export interface ListContainersOptions {
  /** Only these statuses. @defaultValue all */
  readonly status?: ContainerStatus | readonly ContainerStatus[]
  /** Patterns of names, of which one must fit: `*` stands for anything, `?` for one character. @defaultValue any name */
  readonly name?: string | readonly string[]
  /** Labels it must have, with this value or with `true` for any. @defaultValue \{\} */
  readonly labels?: Readonly<Record<string, string | true>>
  /** Only containers of the image with this id. */
  readonly imageId?: string
}

const STATUSES: Readonly<Record<ContainerStatus, true>> = {
  configured: true,
  created: true,
  running: true,
  paused: true,
  stopping: true,
  stopped: true,
  exited: true,
  removing: true,
}
const LIST_OPTIONS: OptionNames<ListContainersOptions> = { status: true, name: true, labels: true, imageId: true }

/** All containers, oldest first: one query, nothing is asked of the host. */
export function listContainers(context: Context, options: ListContainersOptions = {}): ContainerSummary[] {
  checkOptions('containers.list', options, LIST_OPTIONS)
  const { status, name, labels, imageId } = options
  const statuses = status === undefined ? undefined : [status].flat()
  for (const one of statuses ?? []) checkChoice('status', one, Object.keys(STATUSES))
  const names = name === undefined ? undefined : [name].flat()
  if (names?.some((pattern) => typeof pattern !== 'string')) throw invalidOption('name', name, 'give a pattern, or a list of them')
  const filter: ContainerFilter = {
    ...(statuses && { status: statuses }),
    ...(names && { names }),
    ...(labels && { labels }),
    ...(imageId !== undefined && { imageId }),
  }
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

export function toDate(time: number | null): Date | null {
  return time === null ? null : new Date(time)
}
