import type { Started } from './attached-runtime.ts'
import type { ExitStatus } from './exit-status.ts'
import type { StdioOptions, StdioPaths, StdioStreams } from './stdio.ts'

/** A process that lives and dies with a job of the worker, seen from the application. */
export interface AttachedProcess<Exit extends ExitStatus> extends StdioStreams {
  /** Settles when the process is gone. Its last output may still be unread: the streams end by themselves. */
  readonly exited: Promise<Exit>
}

/** Runs the job: hands it the FIFOs and a function to call when it holds their ends. */
export type AttachedJob<Exit> = (stdio: StdioPaths, started: (process: Started) => void) => Promise<Exit>

/**
 * Starts a job with the given streams and waits until they are connected.
 *
 * @throws what the job throws before that.
 */
export async function startAttached<Exit extends ExitStatus>(
  options: StdioOptions,
  job: AttachedJob<Exit>,
): Promise<AttachedProcess<Exit>> {
  // Brings in the system calls, which an application without attached processes never needs.
  const { openStdio } = await import('./stdio.ts')
  const stdio = openStdio(options)
  let connected: StdioStreams | undefined
  let exited: Promise<Exit> | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      exited = job(stdio.paths, () => {
        connected = stdio.connect()
        resolve()
      })
      exited.catch(reject)
    })
  } catch (error) {
    if (connected === undefined) stdio.abandon()
    throw error
  }
  return { ...(connected as unknown as StdioStreams), exited: exited as unknown as Promise<Exit> }
}
