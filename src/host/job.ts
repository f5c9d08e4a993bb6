/** What a job gets beside its input. A job runs inside the host worker. */
export interface JobContext<Progress = never> {
  /** Aborted when the caller gives up or the application is gone: a job then undoes what it began. */
  readonly signal: AbortSignal
  readonly report: (progress: Progress) => void
}

/** A job: plain values in, plain values out, nothing kept between calls. */
export type Job = (input: never, context: JobContext<unknown>) => unknown
