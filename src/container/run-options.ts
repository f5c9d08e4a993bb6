import type { CreateContainerOptions } from '../bundle/container-options.ts'
import { PodlibError } from '../errors/errors.ts'
import type { PullPolicy } from '../image/pull-policy.ts'
import { checkOutputOptions, type ExecOptions, type ExecResult, type OutputEncoding } from './exec.ts'
import { unsupported } from './refuse-unsupported.ts'

/**
 * Options of a one-shot container. What a run decides itself is refused: `ephemeral`, `tty`, `stdin`, and, as its output is its
 * result, `logDriver` and `logMaxSize`.
 *
 * @public
 */
export interface RunOptions<Encoding extends OutputEncoding = 'utf8'>
  extends Omit<CreateContainerOptions, 'command' | 'ephemeral' | 'tty' | 'stdin' | 'logDriver' | 'logMaxSize'>,
    Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes' | 'timeout' | 'signal'> {
  /**
   * Run it under a monitor: it then has a log and an exit record of its own, at the price of some milliseconds, and goes on
   * if this program dies, until it ends or the store is next opened; it is removed then. Its whole output is kept on disk until
   * its end, whatever the log driver of the runtime is. It cannot be given `input`. Without, it is a child of this program.
   * @defaultValue false
   */
  readonly monitor?: boolean
  /** When a registry is asked for the image, if it is given by a name. @defaultValue `'missing'` */
  readonly pull?: PullPolicy
}

/** What a one-shot container said and how it ended. @public */
export interface RunResult<Encoding extends OutputEncoding = 'utf8'> extends ExecResult<Encoding> {
  /** The kernel killed something in it for want of memory. Only a container with a limit, `memory`, is watched for it: false says nothing of another. */
  readonly oomKilled: boolean
  /** What it did not get of what was asked for; see `warnings` of a container's `inspect`. */
  readonly warnings: readonly string[]
}

const NO_LOG = 'what a run says is its result, and nothing of it is kept: use containers.run for a container with a log'

/** What only a lasting container can be told. */
const DECIDED: Readonly<Record<string, string>> = {
  command: 'the command of a run is its second argument',
  ephemeral: 'a run always removes its container: use containers.run for one that stays',
  tty: 'a run keeps standard output and error apart, which a terminal cannot: use containers.run',
  stdin: "give what it is to read as 'input'",
  logDriver: NO_LOG,
  logMaxSize: NO_LOG,
}

/** Refuses what a run would have to ignore. @throws ERR_OPTION_UNSUPPORTED, ERR_INVALID_ARGUMENT */
export function checkRunOptions(options: RunOptions<OutputEncoding>): void {
  for (const [option, value] of Object.entries(options)) {
    const why = Object.hasOwn(DECIDED, option) ? DECIDED[option] : undefined
    if (why !== undefined && value !== undefined) throw unsupported(option, why)
  }
  checkOutputOptions(options)
  if (options.monitor && options.input !== undefined)
    throw new PodlibError('ERR_INVALID_ARGUMENT', 'a container under a monitor cannot be given input: leave out monitor or input')
}

/** What a run needs beside its container. */
export interface RunInput<Encoding extends OutputEncoding> {
  readonly io: Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes'>
  readonly timeoutMs: number | undefined
  readonly signal: AbortSignal | undefined
}
