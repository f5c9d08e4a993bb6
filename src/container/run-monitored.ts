import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { getContainer } from '../state/container-table.ts'
import { timeLimit } from '../util/timer.ts'
import type { CreatedContainer } from './create.ts'
import type { OutputEncoding } from './exec.ts'
import { ignoreRemoved } from './ignore-removed.ts'
import { allWarnings } from './inspect.ts'
import { readAllLogs } from './logs.ts'
import { removeContainer } from './remove.ts'
import type { RunInput, RunResult } from './run-options.ts'
import { startContainer } from './start.ts'
import { waitForExit } from './wait.ts'

/** Runs a container under a monitor, and reads what it said from its log. */
export async function runMonitored<Encoding extends OutputEncoding>(
  context: Context,
  { row, stored }: CreatedContainer,
  { io, timeoutMs, signal }: RunInput<Encoding>,
): Promise<RunResult<Encoding>> {
  const limit = timeoutMs === undefined ? undefined : timeLimit(timeoutMs)
  const signals = [signal, limit?.signal, context.closing].filter((one) => one !== undefined)
  try {
    await startContainer(context, row.id, signal)
    const exit = await waitForExit(context, row.id, AbortSignal.any(signals))
    const warnings = allWarnings(getContainer(context.db, row.id) ?? row, stored)
    const reading = readAllLogs(context, row.id, io.maxOutputBytes)
    // What it held goes meanwhile.
    await removeContainer(context, row.id, { force: true, read: reading.catch(() => {}) }).catch(ignoreRemoved)
    const output = await reading
    const text = (bytes: Buffer) => (io.encoding === 'buffer' ? bytes : bytes.toString('utf8')) as RunResult<Encoding>['stdout']
    return { ...exit, warnings, stdout: text(output.stdout), stderr: text(output.stderr) }
  } catch (error) {
    await removeContainer(context, row.id, { force: true }).catch(ignoreRemoved)
    if (limit?.signal.aborted && !signal?.aborted)
      throw new PodlibError('ERR_EXEC_TIMEOUT', 'the container did not end within its time limit and was killed')
    throw error
  } finally {
    limit?.stop()
  }
}
