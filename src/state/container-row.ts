import { defineTable } from './columns.ts'
import type { ContainerStatus } from './transition.ts'

/** A published port as listings show it. */
export interface PortRow {
  readonly hostIp: string
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: string
}

/** Everything about a container but its config. */
export interface ContainerRow {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly name: string
  readonly podId: string | null
  /** Of the own store: it cannot be removed as long as this row is there. */
  readonly imageId: string | null
  /** Root of the additional image store that the image is in, which may lose it at any time, and its id there. */
  readonly imageStore: string | null
  readonly foreignImageId: string | null
  readonly imageName: string | null
  readonly status: ContainerStatus
  /** Milliseconds since the epoch, like the other times. */
  readonly createdAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly exitCode: number | null
  /** `SIGKILL`. */
  readonly exitSignal: string | null
  readonly oomKilled: boolean
  /** Why it could not be started or was lost. */
  readonly error: string | null
  readonly pid: number | null
  /** Clock ticks since boot, proc_pid_stat(5) field 22; with the pid and boot id it names one process. */
  readonly pidStartTime: number | null
  readonly monitorPid: number | null
  readonly monitorStartTime: number | null
  readonly bootId: string | null
  readonly health: string | null
  readonly command: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly ports: readonly PortRow[]
  /** Removed when it ends or its owner is gone. */
  readonly ephemeral: boolean
  readonly ownerPid: number | null
  readonly ownerStartTime: number | null
  readonly stoppedByUser: boolean
  readonly restartCount: number
  /** The last step of init that was done and that cleanup has not undone yet. */
  readonly initStep: string | null
  /** Runs without a monitor, connected to its owner. */
  readonly attached: boolean
  /** What the network backend returned: addresses, interfaces. */
  readonly network: unknown
  /** What the host could not give it at its last init, in words. */
  readonly warnings: readonly string[]
  /** Grows with every change. */
  readonly generation: number
}

export type NewContainerRow = Omit<ContainerRow, 'status' | 'generation'>
export type ContainerPatch = Partial<Omit<ContainerRow, 'id' | 'status' | 'createdAt' | 'generation'>>

export const containerTable = defineTable<ContainerRow>('containers', {
  id: 'plain',
  name: 'plain',
  podId: 'plain',
  imageId: 'plain',
  imageStore: 'plain',
  foreignImageId: 'plain',
  imageName: 'plain',
  status: 'plain',
  createdAt: 'plain',
  startedAt: 'plain',
  finishedAt: 'plain',
  exitCode: 'plain',
  exitSignal: 'plain',
  oomKilled: 'boolean',
  error: 'plain',
  pid: 'plain',
  pidStartTime: 'plain',
  monitorPid: 'plain',
  monitorStartTime: 'plain',
  bootId: 'plain',
  health: 'plain',
  command: 'json',
  labels: 'json',
  ports: 'json',
  ephemeral: 'boolean',
  ownerPid: 'plain',
  ownerStartTime: 'plain',
  stoppedByUser: 'boolean',
  restartCount: 'plain',
  initStep: 'plain',
  attached: 'boolean',
  network: 'json',
  warnings: 'json',
  generation: 'plain',
})
