import type { CreateContainerOptions } from '../bundle/container-options.ts'
import type { PullPolicy } from '../image/pull.ts'
import type { ExecOptions, ExecResult, OutputEncoding } from './exec.ts'

/** @public */
export interface RunOptions<Encoding extends OutputEncoding = 'utf8'>
  extends Omit<CreateContainerOptions, 'command' | 'ephemeral' | 'tty' | 'stdin'>,
    Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes' | 'timeout' | 'signal'> {
  /**
   * Run it under a monitor: it then has a log and an exit record of its own, at the price of some milliseconds, and goes on
   * if this program dies, until it ends or the store is next opened; it is removed then. Without, it is a child of this
   * program. @defaultValue false
   */
  readonly monitor?: boolean
  /** When a registry is asked for the image. @defaultValue `'missing'` */
  readonly pull?: PullPolicy
}

/** What a one-shot container said and how it ended. @public */
export interface RunResult<Encoding extends OutputEncoding = 'utf8'> extends ExecResult<Encoding> {
  /** The kernel killed something in it for want of memory. */
  readonly oomKilled: boolean
  /** What it did not get of what was asked for; see `warnings` of a container's `inspect`. */
  readonly warnings: readonly string[]
}

/** What a run needs beside its container. */
export interface RunInput<Encoding extends OutputEncoding> {
  readonly io: Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes'>
  readonly timeoutMs: number | undefined
  readonly signal: AbortSignal | undefined
}
