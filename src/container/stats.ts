import type { Duration } from '../bundle/container-options.ts'
import { PodlibError } from '../errors/errors.ts'
import { readCgroupStats } from '../host/cgroup.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { getContainer, getContainerConfig } from '../state/container-table.ts'
import { delay } from '../util/delay.ts'
import { checkOptions, invalidOption, type OptionNames } from '../util/options.ts'
import { parseDuration } from '../util/quantity.ts'
import { cgroupPath } from './cgroup-path.ts'

/** @public */
export interface StatsOptions {
  /** Time between two readings: milliseconds, or text with a unit; at least 1 ms. @defaultValue 1000 */
  readonly intervalMs?: Duration
  /** Ends the iteration with the signal's reason. */
  readonly signal?: AbortSignal
}

const STATS_OPTIONS: OptionNames<StatsOptions> = { intervalMs: true, signal: true }

/** What a container uses at one moment. @public */
export interface ContainerStats {
  readonly time: Date
  /** CPU time used since its start. */
  readonly cpuNanoseconds: number
  /** Of one CPU, since the last reading: 150 is one and a half. The first reading tells of the whole time since its start. */
  readonly cpuPercent: number
  /** Without the file cache that the kernel would give up first. */
  readonly memoryBytes: number
  /** Undefined when it has no limit. */
  readonly memoryLimitBytes: number | undefined
  /** Processes and threads. */
  readonly pids: number
  readonly pidsLimit: number | undefined
  readonly blockReadBytes: number
  readonly blockWriteBytes: number
}

/**
 * Readings of a running container until it ends.
 *
 * @throws ERR_CONTAINER_STATE when it does not run, ERR_CGROUP when it has no cgroup of its own
 */
export async function* streamStats(context: Context, id: string, options: StatsOptions = {}): AsyncGenerator<ContainerStats> {
  checkOptions('stats', options, STATS_OPTIONS)
  const { intervalMs = 1000, signal } = options
  const pause = checkInterval(intervalMs)
  signal?.throwIfAborted()
  const { facts, cgroups } = await context.machine()
  const row = runningRow(context, id)
  if (facts.cgroupControllers.length === 0) {
    throw new PodlibError(
      'ERR_CGROUP',
      `container ${id.slice(0, 12)} has no cgroup of its own on this host: there is nothing to read its use from`,
      { details: { id } },
    )
  }
  const { config } = getContainerConfig(context.db, id) as StoredContainer
  const path = cgroupPath(context, config.cgroupParent, id)
  let before = { time: row.startedAt ?? Date.now(), cpu: 0 }
  while (true) {
    signal?.throwIfAborted()
    const used = readCgroupStats(cgroups, path)
    if (used === undefined) return
    const time = Date.now()
    const { cpuNs: cpu = 0 } = used
    const elapsedNs = Math.max(1, time - before.time) * 1e6
    yield {
      time: new Date(time),
      cpuNanoseconds: cpu,
      cpuPercent: ((cpu - before.cpu) / elapsedNs) * 100,
      memoryBytes: used.memoryBytes ?? 0,
      memoryLimitBytes: used.memoryLimitBytes,
      pids: used.pids ?? 0,
      pidsLimit: config.resources.pidsLimit ?? undefined,
      blockReadBytes: used.readBytes ?? 0,
      blockWriteBytes: used.writtenBytes ?? 0,
    }
    before = { time, cpu }
    await delay(pause, signal)
    const status = getContainer(context.db, id)?.status
    if (status !== 'running' && status !== 'paused') return
  }
}

/** Readings without a pause between them would keep a processor busy. */
function checkInterval(interval: Duration): number {
  const ms = parseDuration(interval, 'intervalMs')
  if (ms >= 1) return ms
  throw invalidOption('intervalMs', interval, 'give at least 1 ms')
}

function runningRow(context: Context, id: string) {
  const row = getContainer(context.db, id)
  if (row === undefined) throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
  if (row.status === 'running' || row.status === 'paused') return row
  throw new PodlibError('ERR_CONTAINER_STATE', `container ${id.slice(0, 12)} uses nothing: its status is ${row.status}`, {
    details: { id, status: row.status },
  })
}
