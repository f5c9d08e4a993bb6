/**
 * A document or signature that does not count, with the reason in words. Verifiers turn it into a verdict, the
 * policy reader into `ERR_POLICY_INVALID`; it never leaves this folder. Anything else that is thrown while
 * evidence is gathered (network, missing program) is not a verdict and reaches the caller as it is.
 */
export class Rejection extends Error {
  /** Where in the document, as a JSON path (`$.critical.image`). */
  readonly path: string | undefined

  constructor(reason: string, path?: string) {
    super(path === undefined ? reason : `${reason} (at ${path})`)
    this.path = path
  }
}

/** Whether something thrown is a {@link Rejection}. */
export function isRejection(value: unknown): value is Rejection {
  return value instanceof Rejection
}

/** Text that a stranger wrote, made fit for a message: quoted, control characters escaped, cut. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text)
}
