import type { Readable, Writable } from 'node:stream'
import { PodlibError } from '../errors/errors.ts'
import type { AttachedProcess } from '../host/attached-process.ts'
import type { AttachedEnd } from '../host/attached-runtime.ts'

/** How a process ended. @public */
export interface ProcessExit {
  /** 128 + n when signal n ended it. */
  readonly exitCode: number
  /** Name of the signal that ended it, `SIGKILL`. */
  readonly signal: string | null
  /**
   * SIGKILL ended it, and the kernel has meanwhile killed in its container for want of memory. Only in a container with a limit,
   * `memory`, is that looked for: false says nothing of another.
   */
  readonly oomKilled: boolean
}

/**
 * A running process in a container, like one of `child_process`. Its streams are pipes between it and this program:
 * binary-safe, with back-pressure, and `stdin.end()` is an end of file for it and nothing else. It ends with this program.
 *
 * @public
 */
export class ContainerProcess {
  /** There when `stdin` is `'pipe'`. */
  readonly stdin: Writable | undefined
  readonly stdout: Readable | undefined
  readonly stderr: Readable | undefined
  /** Settles when it has ended; rejects with ERR_EXEC_TIMEOUT after its time limit, and with the signal's reason after an abort. */
  readonly exited: Promise<ProcessExit>
  readonly #killer: AbortController

  /** @internal */
  constructor(attached: AttachedProcess<AttachedEnd>, killer: AbortController) {
    this.stdin = attached.stdin
    this.stdout = attached.stdout
    this.stderr = attached.stderr
    this.#killer = killer
    this.exited = attached.exited.then(({ exitCode, exitSignal, timedOut, oomKilled }) => {
      if (timedOut)
        throw new PodlibError('ERR_EXEC_TIMEOUT', 'the process did not end within its time limit and was killed with all that it started')
      return { exitCode, signal: exitSignal, oomKilled }
    })
    this.exited.catch(() => {})
  }

  /** Waits for its end. */
  wait(): Promise<ProcessExit> {
    return this.exited
  }

  /** Kills it and everything that it started, and resolves when they are gone. */
  async kill(): Promise<void> {
    this.#killer.abort(new PodlibError('ERR_EXEC_KILLED', 'the process was killed'))
    await this.exited.catch(() => {})
  }
}
