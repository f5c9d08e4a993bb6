import { signalName } from '../util/signal.ts'

/** How the process of a container ended. */
export interface ExitStatus {
  /** As a shell gives it: 128 and the signal's number when a signal ended it. */
  readonly exitCode: number
  /** The name of the signal that ended it, null when it ended by itself. */
  readonly exitSignal: string | null
}

const SIGNAL_BASE = 128
const LAST_SIGNAL = 64

/**
 * Reads an exit code as OCI runtimes and conmon give it. They report a death by signal as 128 and its
 * number; a process that exits with such a number by itself cannot be told apart.
 */
export function exitStatus(exitCode: number): ExitStatus {
  const signal = exitCode - SIGNAL_BASE
  return { exitCode, exitSignal: signal >= 1 && signal <= LAST_SIGNAL ? signalName(signal) : null }
}

/** The end of a process as one number, as a shell gives it. */
export function shellExitCode({ exitCode, signal }: { readonly exitCode: number | null; readonly signal: number | null }): number {
  return exitCode ?? SIGNAL_BASE + (signal ?? 0)
}
