import type { ContainerConfig } from '../bundle/container-config.ts'
import { PodlibError } from '../errors/errors.ts'
import { hasCgroup, readCgroupLayout } from '../host/cgroup.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { expectsProcess } from '../lifecycle/reconcile.ts'
import { withContainer } from '../lifecycle/with-container.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { getContainer, getContainerConfig } from '../state/container-table.ts'
import { cgroupPath } from './cgroup-path.ts'
import { toDate } from './list.ts'

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
  /** Where its log is, or will be; null when it keeps none. */
  readonly logPath: string | null
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
      /** Below the mount point of each hierarchy: `/podlib/podlib-<id>`; null when this host has given it none of its own. */
      readonly cgroupPath: string | null
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

/** A snapshot that is true now: what should have a process is looked at first. @throws ERR_CONTAINER_NOT_FOUND */
export async function inspectContainer(context: Context, id: string): Promise<ContainerInfo> {
  const row = getContainer(context.db, id)
  if (row === undefined) throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
  if (!expectsProcess(row.status)) return toInfo(context, row, getContainerConfig(context.db, id) as StoredContainer)
  return withContainer(context, id, async (session) => toInfo(context, session.row, session.stored))
}

function toInfo(context: Context, row: ContainerRow, stored: StoredContainer): ContainerInfo {
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
    logPath: attached || config.log.driver === 'none' ? null : context.paths.log(id),
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
    default: {
      const cgroup = cgroupPath(context, config.cgroupParent, id)
      const { status, pid, monitorPid } = row
      return { ...base, status, pid, monitorPid, cgroupPath: hasCgroup(readCgroupLayout(), cgroup) ? cgroup : null, startedAt }
    }
  }
}

/** Of its create and of its last init. */
export function allWarnings({ warnings }: Pick<ContainerRow, 'warnings'>, stored: StoredContainer): string[] {
  return [...(stored.warnings ?? []), ...warnings]
}
