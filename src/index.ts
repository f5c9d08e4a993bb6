export { ERROR_KINDS, type PodlibErrorCode, type PodlibErrorKind } from './errors/codes.ts'
export { type ErrorDetails, type FailedProgram, isPodlibError, PodlibError, type PodlibErrorOptions } from './errors/errors.ts'
