import { PodlibError } from '../errors/errors.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { expectsProcess } from '../lifecycle/reconcile.ts'
import { getContainer, getContainerConfig } from '../state/container-table.ts'
import { checkOptions, invalidOption, type OptionNames } from '../util/options.ts'
import type { KeptOutput } from './output.ts'

/** One line of output, without its line end. @public */
export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  /** When its first part was written. */
  readonly time: Date
  readonly text: string
  /** The line had no end when the log ended: the program stopped in the middle of it. */
  readonly partial: boolean
}

/** @public */
export interface LogOptions {
  /** Goes on with what the container writes until it ends. @defaultValue false */
  readonly follow?: boolean
  /** Only the last so many lines. @defaultValue all */
  readonly tail?: number
  /** Only lines written from then on. */
  readonly since?: Date
  /** Only lines written until then. */
  readonly until?: Date
  /** Ends the iteration with the signal's reason. */
  readonly signal?: AbortSignal
}

const LOG_OPTIONS: OptionNames<LogOptions> = { follow: true, tail: true, since: true, until: true, signal: true }

/** Reads the log of a container, also of one that has ended. @throws ERR_CONTAINER_NO_LOGS */
export async function* readLogs(context: Context, id: string, options: LogOptions = {}): AsyncGenerator<LogEntry> {
  checkLogOptions(options)
  const row = getContainer(context.db, id)
  if (row === undefined) throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
  const { config } = getContainerConfig(context.db, id) as StoredContainer
  if (row.attached)
    throw new PodlibError(
      'ERR_CONTAINER_NO_LOGS',
      `container ${id.slice(0, 12)} keeps no log: its output goes to the program that runs it`,
      { details: { id } },
    )
  const left = new AbortController()
  const following = options.follow === true && expectsProcess(row.status)
  const exited = following ? context.exits.ended(row, left.signal).catch(() => {}) : Promise.resolve()
  try {
    yield* context.logDriver(config.log.driver).read({ ...options, path: context.paths.log(id), exited })
  } finally {
    left.abort()
  }
}

function checkLogOptions(options: LogOptions): void {
  checkOptions('logs', options, LOG_OPTIONS)
  const { tail, since, until } = options
  if (tail !== undefined && !(Number.isSafeInteger(tail) && tail >= 0)) throw invalidOption('tail', tail, 'give a number of lines')
  for (const [what, time] of Object.entries({ since, until }))
    if (time !== undefined && Number.isNaN(time?.getTime?.() ?? Number.NaN)) throw invalidOption(what, time, 'give a Date')
}

/** Everything that a container wrote, by stream and byte for byte. @throws ERR_OUTPUT_TOO_LARGE */
export async function readAllLogs(context: Context, id: string, kept: Readonly<Record<LogEntry['stream'], KeptOutput>>): Promise<void> {
  const log = context.logDriver(logDriverOf(context, id)).read({ path: context.paths.log(id), bytes: true })
  for await (const { stream, text, partial } of log) kept[stream].add(Buffer.from(partial ? text : `${text}\n`, 'latin1'))
}

function logDriverOf(context: Context, id: string) {
  const stored = getContainerConfig(context.db, id) as StoredContainer | undefined
  if (stored === undefined)
    throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
  return stored.config.log.driver
}
