import { toWireError, type WireError } from '../errors/errors.ts'
import type { Job, JobContext } from './job.ts'

/** From the application to the worker. */
export type WorkerRequest =
  | { readonly id: number; readonly job: string; readonly input: unknown }
  | { readonly id: number; readonly abort: true }

/** From the worker to the application. */
export type WorkerReply =
  | { readonly ready: true }
  /** From here on the job may have done something. */
  | { readonly id: number; readonly begun: true }
  | { readonly id: number; readonly progress: unknown }
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly error: WireError }

/**
 * Answers job requests on this process's IPC channel until the application closes it or dies; jobs still
 * running are then aborted and waited for, so that an attached container never outlives its application.
 *
 * @param parent - the application. The channel tells of its death only after everything that it had sent: what it asked for
 * and was not begun is not begun then, because its locks are free, and somebody else is at work.
 */
export function serveJobs(jobs: Readonly<Record<string, Job>>, { parent }: { readonly parent: number }): void {
  const running = new Map<number, AbortController>()
  const send = (reply: WorkerReply) => {
    if (process.connected) process.send?.(reply)
  }
  const finished = () => {
    if (!process.connected && running.size === 0) process.exit(0)
  }

  async function perform(id: number, name: string, input: unknown): Promise<void> {
    const controller = new AbortController()
    running.set(id, controller)
    const context: JobContext<unknown> = { signal: controller.signal, report: (progress) => send({ id, progress }) }
    send({ id, begun: true })
    try {
      const job = jobs[name] as ((input: unknown, context: JobContext<unknown>) => unknown) | undefined
      if (job === undefined) throw new Error(`no such job: ${name}`)
      send({ id, output: await job(input, context) })
    } catch (error) {
      send({ id, error: toWireError(error) })
    } finally {
      running.delete(id)
      finished()
    }
  }

  process.on('message', (request: WorkerRequest) => {
    if ('abort' in request) running.get(request.id)?.abort()
    else if (process.ppid === parent) void perform(request.id, request.job, request.input)
  })
  process.on('disconnect', () => {
    for (const controller of running.values()) controller.abort()
    finished()
  })
  send({ ready: true })
}
