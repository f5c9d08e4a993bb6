import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { getContainer } from '../state/container-table.ts'
import { timeLimit } from '../util/timer.ts'
import type { CreatedContainer } from './create.ts'
import type { OutputEncoding } from './exec.ts'
import { ignoreRemoved } from './ignore-removed.ts'
import { allWarnings } from './inspect.ts'
import { readAllLogs } from './logs.ts'
import { encodeOutput, KeptOutput, withOutput } from './output.ts'
import { removeContainer } from './remove.ts'
import type { RunInput, RunResult } from './run-options.ts'
import { startContainer } from './start.ts'
import { stopContainer } from './stop.ts'
import { type ExitStatus, waitForExit } from './wait.ts'

/** Runs a container under a monitor, and reads what it said from its log. */
export async function runMonitored<Encoding extends OutputEncoding>(
  context: Context,
  created: CreatedContainer,
  { io, timeoutMs, signal }: RunInput<Encoding>,
): Promise<RunResult<Encoding>> {
  const { id } = created.row
  const limit = timeoutMs === undefined ? undefined : timeLimit(timeoutMs)
  try {
    await startContainer(context, id, signal)
    const exit = await endWithin(context, id, { limit: limit?.signal, signal })
    return await takeResult(context, created, { exit, io })
  } catch (error) {
    await removeContainer(context, id, { force: true }).catch(ignoreRemoved)
    throw error
  } finally {
    limit?.stop()
  }
}

interface Waiting {
  readonly limit: AbortSignal | undefined
  readonly signal: AbortSignal | undefined
}

/** How it ended; undefined when its time was over and it was killed. */
async function endWithin(context: Context, id: string, { limit, signal }: Waiting): Promise<ExitStatus | undefined> {
  try {
    return await waitForExit(context, id, AbortSignal.any([signal, limit, context.closing].filter((one) => one !== undefined)))
  } catch (error) {
    if (!limit?.aborted || signal?.aborted || context.closing.aborted) throw error
    await stopContainer(context, id, { timeoutMs: 0 })
    return undefined
  }
}

interface Ended<Encoding extends OutputEncoding> {
  readonly exit: ExitStatus | undefined
  readonly io: RunInput<Encoding>['io']
}

/** What it said, and how it ended. The container goes. */
async function takeResult<Encoding extends OutputEncoding>(
  context: Context,
  { row, stored }: CreatedContainer,
  { exit, io }: Ended<Encoding>,
): Promise<RunResult<Encoding>> {
  const warnings = allWarnings(getContainer(context.db, row.id) ?? row, stored)
  const kept = { stdout: new KeptOutput('standard output', io), stderr: new KeptOutput('standard error', io) }
  const output = () => encodeOutput(kept.stdout, kept.stderr, io)
  const reading = readAllLogs(context, row.id, kept)
  // What it held goes meanwhile.
  await removeContainer(context, row.id, { force: true, read: reading.catch(() => {}) }).catch(ignoreRemoved)
  try {
    if (exit === undefined) throw new PodlibError('ERR_EXEC_TIMEOUT', 'the container did not end within its time limit and was killed')
    await reading
    return { ...exit, warnings, ...output() }
  } catch (error) {
    throw withOutput(error, output)
  }
}
