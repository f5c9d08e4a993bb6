/**
 * Where the output of a container goes and how it is read back. The monitor writes, podlib reads.
 */
export interface LogDriver {
  /** `k8s-file`, `none`. */
  readonly name: string
  /** The monitor's arguments that make it write the log. */
  monitorArguments(options: LogOptions): string[]
  /**
   * The log from its beginning, or from where `tail` and `since` say, to its end or for as long as the
   * container writes. Leaving the loop early frees everything.
   *
   * @throws ERR_CONTAINER_NO_LOGS when the driver keeps none.
   */
  read(options: ReadLogOptions): AsyncIterable<LogRecord>
  /** Removes the log and what rotation made of it. */
  remove(path: string): void
}

export interface LogOptions {
  readonly path: string
  /** Bytes after which the log is rotated; unlimited when null. */
  readonly maxSize: number | null
}

export interface ReadLogOptions {
  readonly path: string
  /** Goes on with what the container writes, until {@link ReadLogOptions.exited}. */
  readonly follow?: boolean | undefined
  /** Settles when the container has ended: what is left is then given, and the log ends. Without it following never ends by itself. */
  readonly exited?: Promise<unknown> | undefined
  /** Only the last so many records. */
  readonly tail?: number | undefined
  readonly since?: Date | undefined
  /** Following ends with the first record after it. */
  readonly until?: Date | undefined
  readonly signal?: AbortSignal | undefined
  /** Gives text with one character a byte (Latin-1) instead of decoding it: output need not be text. */
  readonly bytes?: boolean | undefined
}

/** One line of output, without its line end. */
export interface LogRecord {
  readonly stream: 'stdout' | 'stderr'
  /** When its first part was written. */
  readonly time: Date
  readonly text: string
  /** The line had no end when the log ended: the program stopped in the middle of it. */
  readonly partial: boolean
}
