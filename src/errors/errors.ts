import { ERROR_KINDS, type PodlibErrorCode, type PodlibErrorKind } from './codes.ts'

/**
 * Facts that go with an error: ids, paths, status, argv, HTTP status. Never a secret of podlib's or of its caller's. What a program
 * said is the caller's own: `stdout` and `stderr` of ERR_EXEC_TIMEOUT and ERR_OUTPUT_TOO_LARGE.
 *
 * @public
 */
export type ErrorDetails = Readonly<Record<string, unknown>>

/** The program behind an error: what was run and what it said last. @public */
export interface FailedProgram {
  readonly argv: readonly string[]
  readonly exitCode: number | null
  readonly signal: string | null
  /** The last 4 KiB of standard error. */
  readonly stderr: string
}

/** @public */
export interface PodlibErrorOptions {
  readonly details?: ErrorDetails
  readonly program?: FailedProgram
  readonly cause?: unknown
}

// Two copies of this package in one process must recognise each other's errors, and jest runs tests
// in another realm, so `instanceof` is never the test.
const BRAND = Symbol.for('podlib.error')

/**
 * The one error class of podlib. `code` says exactly what happened, `kind` what sort of thing that is,
 * `details` the facts, `program` the helper program that failed.
 *
 * @example
 * ```ts
 * try { await runtime.containers.get('nope') }
 * catch (error) { if (isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) return; throw error }
 * ```
 * @public
 */
export class PodlibError extends Error {
  override readonly name = 'PodlibError'
  readonly code: PodlibErrorCode
  readonly kind: PodlibErrorKind
  readonly details: ErrorDetails
  readonly program: FailedProgram | undefined

  constructor(code: PodlibErrorCode, message: string, options: PodlibErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.kind = ERROR_KINDS[code]
    this.details = options.details ?? {}
    this.program = options.program
    Object.defineProperty(this, BRAND, { value: true })
  }

  /** A plain object for logs and for other processes. The cause is given by its message only. */
  toJSON(): Record<string, unknown> {
    const { name, code, kind, message, details, program } = this
    return { name, code, kind, message, details, ...(program && { program }), ...causeMessage(this.cause) }
  }
}

function causeMessage(cause: unknown): { cause?: string } {
  return cause === undefined ? {} : { cause: errorMessage(cause) }
}

/**
 * Whether a value is an error of podlib (of any copy of it), optionally of one code.
 *
 * @public
 */
export function isPodlibError(value: unknown, code?: PodlibErrorCode): value is PodlibError {
  return typeof value === 'object' && value !== null && BRAND in value && (code === undefined || errorCode(value) === code)
}

/** The `code` of a system or library error (`ENOENT`, `UND_ERR_SOCKET`), whatever realm made it. */
export function errorCode(value: unknown): string | undefined {
  const code = (value as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** The message of anything thrown. */
export function errorMessage(value: unknown): string {
  const message = (value as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : String(value)
}

/** What crosses a process border: everything of a {@link PodlibError} that is plain data. */
export interface WireError {
  readonly code: string | undefined
  readonly message: string
  readonly details?: ErrorDetails
  readonly program?: FailedProgram
  /** Only of our own kind: nobody knows what a foreign message gives away. */
  readonly cause?: WireError
}

/** Flattens anything thrown for another process. */
export function toWireError(error: unknown): WireError {
  const message = errorMessage(error)
  if (!isPodlibError(error)) return { code: errorCode(error), message }
  const { code, details, program, cause } = error
  return { code, message, details, ...(program && { program }), ...(isPodlibError(cause) && { cause: toWireError(cause) }) }
}

/** The error that {@link toWireError} flattened. A foreign code becomes `ERR_INTERNAL` with the code in the details. */
export function fromWireError(wire: WireError): PodlibError {
  const known = wire.code !== undefined && wire.code in ERROR_KINDS
  const code = known ? (wire.code as PodlibErrorCode) : systemErrorCode(wire.code)
  const details = known ? wire.details : { ...wire.details, systemCode: wire.code }
  const cause = wire.cause && fromWireError(wire.cause)
  return new PodlibError(code, wire.message, { ...(details && { details }), ...(wire.program && { program: wire.program }), cause })
}

/** The podlib code that a system error means when nothing more is known about it. */
export function systemErrorCode(code: string | undefined): PodlibErrorCode {
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'ERR_NO_SPACE'
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return 'ERR_PERMISSION'
  return 'ERR_INTERNAL'
}
