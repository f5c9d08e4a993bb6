import { isPodlibError } from '../errors/errors.ts'
import type { AttachedProcess } from '../host/attached-process.ts'
import type { AttachedEnd } from '../host/attached-runtime.ts'
import { exitStatus, shellExitCode } from '../host/exit-status.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { canHappen } from '../lifecycle/state-machine.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { getContainer } from '../state/container-table.ts'
import { crashPoint } from '../util/crash-point.ts'
import { limitedMemoryCgroup } from './cgroup-path.ts'
import { cleanupContainer, removeExited, removeFiles } from './cleanup.ts'
import type { CreatedContainer } from './create.ts'
import { collectProcess, type OutputEncoding } from './exec.ts'
import { ignoreRemoved } from './ignore-removed.ts'
import { prepareBundle } from './init.ts'
import { allWarnings } from './inspect.ts'
import { ContainerProcess } from './process.ts'
import type { RunInput, RunResult } from './run-options.ts'
import { hasNoProcess } from './signal.ts'

/** Runs a container as a child of this program: without a monitor, and with its streams straight to here. */
export async function runAttached<Encoding extends OutputEncoding>(
  context: Context,
  { row, stored }: CreatedContainer,
  { io, timeoutMs, signal }: RunInput<Encoding>,
): Promise<RunResult<Encoding>> {
  const killer = new AbortController()
  let ended: AttachedEnd | undefined
  let warnings: readonly string[] = []
  let finished: Promise<void> | undefined
  const finish = (removed?: Promise<void>) => {
    finished ??= withContainer(context, row.id, (session) => finishAttached(context, session, { exit: ended, removed })).catch(
      ignoreRemoved,
    )
    return finished
  }
  try {
    const attached = await withContainer(context, row.id, async (session) => {
      const started = await startAttached(context, session, {
        stored,
        stdin: io.input === undefined ? 'ignore' : 'pipe',
        timeoutMs,
        signal: AbortSignal.any([...(signal ? [signal] : []), killer.signal, context.closing]),
      })
      warnings = allWarnings(session.row, stored)
      return started
    })
    // What it said is perhaps still being read then.
    void attached.exited
      .then((exit) => {
        ended = exit
        // The runtime ran to its end and has deleted the container itself: the rest goes while the lock is taken.
        const removed = removeFiles(context, row.id)
        removed.catch(() => {})
        return finish(removed)
      })
      .catch(() => {})
    const exited = attached.exited.catch((error: unknown) => (ended = endOfStopped(context, row.id, error)))
    const result = await collectProcess<Encoding>(new ContainerProcess({ ...attached, exited }, killer), io)
    return { ...result, warnings }
  } finally {
    await finish()
  }
}

interface StartAttachedInput {
  readonly stored: StoredContainer
  readonly stdin: 'pipe' | 'ignore'
  readonly timeoutMs: number | undefined
  readonly signal: AbortSignal
}

async function startAttached(
  context: Context,
  session: ContainerSession,
  input: StartAttachedInput,
): Promise<AttachedProcess<AttachedEnd>> {
  const { stored, stdin, timeoutMs, signal } = input
  const { row } = session
  // Its row was written before anything is made on the host: whoever finds it with its owner gone cleans up.
  crashPoint('run: begun')
  const runtime = await context.ociRuntime(stored.ociRuntime)
  const { spec, mounted } = await prepareBundle(context, session, stored)
  try {
    // Sent while the worker mounts: it need not wait for this process then.
    return await runtime.run({
      id: row.id,
      bundle: context.paths.bundle(row.id),
      mountPoint: (await context.storage()).rootfs(row.id).path,
      spec: await runtime.prepareSpec(row.id, spec),
      ioDirectory: context.paths.io,
      stdin,
      stdout: 'pipe',
      stderr: 'pipe',
      timeoutMs,
      signal,
      memoryCgroup: await limitedMemoryCgroup(context, row.id, stored.config),
    })
  } finally {
    // Its error is the one that tells what happened; and nobody cleans up before it is done.
    await mounted
  }
}

const SIGKILL = 9

/** A container that was stopped while it was being made has been killed, whatever the OCI runtime calls that. */
function endOfStopped({ db }: Context, id: string, error: unknown): AttachedEnd {
  const lostIt = isPodlibError(error, 'ERR_OCI_RUNTIME') || hasNoProcess(error)
  if (!lostIt || !getContainer(db, id)?.stoppedByUser) throw error
  return { ...exitStatus(shellExitCode({ exitCode: null, signal: SIGKILL })), timedOut: false, oomKilled: false }
}

interface EndInput {
  /** Undefined when it never came to be, or nobody knows what became of it. */
  readonly exit: AttachedEnd | undefined
  /** The removal of its files, if that was begun. */
  readonly removed: Promise<void> | undefined
}

/** The process is gone, or never came to be. What is left of it on the host goes, and then the row. */
async function finishAttached(context: Context, session: ContainerSession, { exit, removed }: EndInput): Promise<void> {
  const { exitCode = -1, exitSignal = null, oomKilled = false } = exit ?? {}
  const event = { type: 'exited', exitCode, exitSignal, oomKilled, finishedAt: Date.now() } as const
  const canEnd = canHappen('exited', session.row.status)
  if (removed) crashPoint('remove: begun')
  const failure = await removed?.then(
    () => undefined,
    (error: unknown) => ({ error }),
  )
  if (removed && canEnd && !failure) {
    crashPoint('remove: storage removed')
    await session.apply(event, { announce: 'died', forget: true })
    return
  }
  if (canEnd) await session.apply(event, { announce: 'died' })
  if (!removed) await cleanupContainer(context, session)
  if (failure) throw failure.error
  await removeExited(context, session)
}
