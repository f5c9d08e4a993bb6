import { mkdirSync } from 'node:fs'
import type { CreateContainerOptions } from '../bundle/container-options.ts'
import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { AttachedProcess } from '../host/attached-process.ts'
import { cgroupDirectory } from '../host/cgroup.ts'
import type { RunAttachedOutput } from '../host/jobs/run-attached.ts'
import type { PullPolicy } from '../image/pull.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import { canHappen } from '../lifecycle/state-machine.ts'
import { type ContainerSession, withContainer } from '../lifecycle/with-container.ts'
import { getContainer } from '../state/container-table.ts'
import { crashPoint } from '../util/crash-point.ts'
import { parseDuration } from '../util/quantity.ts'
import { cgroupPath } from './cgroup-path.ts'
import { cleanupContainer, removeExited, removeFiles } from './cleanup.ts'
import { type ContainerImage, type CreatedContainer, createContainer } from './create.ts'
import { collectProcess, type ExecOptions, type ExecResult, type OutputEncoding } from './exec.ts'
import { prepareBundle } from './init.ts'
import { allWarnings } from './inspect.ts'
import { readAllLogs } from './logs.ts'
import { ContainerProcess } from './process.ts'
import { removeContainer } from './remove.ts'
import { startContainer } from './start.ts'
import { waitForExit } from './wait.ts'

/** @public */
export interface RunOptions<Encoding extends OutputEncoding = 'utf8'>
  extends Omit<CreateContainerOptions, 'command' | 'ephemeral' | 'tty' | 'stdin'>,
    Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes' | 'timeout' | 'signal'> {
  /**
   * Run it under a monitor: it then has a log and an exit record of its own, at the price of some milliseconds, and goes on
   * if this program dies, until it ends or the store is next opened; it is removed then. Without, it is a child of this
   * program. @defaultValue false
   */
  readonly monitor?: boolean
  /** When a registry is asked for the image. @defaultValue `'missing'` */
  readonly pull?: PullPolicy
}

/** What a one-shot container said and how it ended. @public */
export interface RunResult<Encoding extends OutputEncoding = 'utf8'> extends ExecResult<Encoding> {
  /** The kernel killed something in it for want of memory. */
  readonly oomKilled: boolean
  /** What it did not get of what was asked for; see `warnings` of a container's `inspect`. */
  readonly warnings: readonly string[]
}

/** Runs a container to its end and removes it, whatever happens. */
export async function runOnce<Encoding extends OutputEncoding>(
  context: Context,
  image: ContainerImage,
  argv: readonly string[],
  options: Omit<RunOptions<Encoding>, 'pull'> = {},
): Promise<RunResult<Encoding>> {
  const { input, encoding, maxOutputBytes, timeout, signal, monitor = false, ...create } = options
  signal?.throwIfAborted()
  const io = {
    ...(input !== undefined && { input }),
    ...(encoding && { encoding }),
    ...(maxOutputBytes !== undefined && { maxOutputBytes }),
  }
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, 'timeout')
  const limits = { timeoutMs, signal }
  const created = await createContainer(context, {
    image,
    options: { ...create, command: argv, ephemeral: true },
    mode: monitor ? 'attended' : 'attached',
  })
  const running = monitor
    ? runMonitored<Encoding>(context, created, { io, ...limits })
    : runAttached<Encoding>(context, created, { io, ...limits })
  context.background.add(running.catch(() => {}))
  return running
}

interface RunInput<Encoding extends OutputEncoding> {
  readonly io: Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes'>
  readonly timeoutMs: number | undefined
  readonly signal: AbortSignal | undefined
}

async function runAttached<Encoding extends OutputEncoding>(
  context: Context,
  { row, stored }: CreatedContainer,
  { io, timeoutMs, signal }: RunInput<Encoding>,
): Promise<RunResult<Encoding>> {
  const killer = new AbortController()
  let ended: RunAttachedOutput | undefined
  let warnings: readonly string[] = []
  let finished: Promise<void> | undefined
  const finish = (removed?: Promise<void>) => {
    finished ??= withContainer(context, row.id, (session) => finishAttached(context, session, { exit: ended, removed })).catch(
      ignoreMissing,
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
    const result = await collectProcess<Encoding>(new ContainerProcess(attached, killer), io)
    return { ...result, oomKilled: ended?.oomKilled ?? false, warnings }
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
): Promise<AttachedProcess<RunAttachedOutput>> {
  const { stored, stdin, timeoutMs, signal } = input
  const { row } = session
  // Its row was written before anything is made on the host: whoever finds it with its owner gone cleans up.
  crashPoint('run: begun')
  const runtime = await context.ociRuntime(stored.ociRuntime)
  const { spec, mounted } = await prepareBundle(context, session, stored)
  try {
    mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
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
      memoryCgroup: await limitedMemoryCgroup(context, row.id, stored),
    })
  } finally {
    // Its error is the one that tells what happened; and nobody cleans up before it is done.
    await mounted
  }
}

/** Where to learn that the kernel killed for want of memory: only a container with a limit can run out of it alone. */
async function limitedMemoryCgroup(context: Context, id: string, { config }: StoredContainer): Promise<string | undefined> {
  const { facts, cgroups } = await context.machine()
  if (config.resources.memory === null || !facts.cgroupControllers.includes('memory')) return undefined
  return cgroupDirectory(cgroups, cgroupPath(context, config.cgroupParent, id), 'memory')
}

interface AttachedEnd {
  /** Undefined when it never came to be, or nobody knows what became of it. */
  readonly exit: RunAttachedOutput | undefined
  /** The removal of its files, if that was begun. */
  readonly removed: Promise<void> | undefined
}

/** The process is gone, or never came to be. What is left of it on the host goes, and then the row. */
async function finishAttached(context: Context, session: ContainerSession, { exit, removed }: AttachedEnd): Promise<void> {
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
  if (exit === undefined) await cleanupContainer(context, session)
  if (failure) throw failure.error
  await removeExited(context, session)
}

async function runMonitored<Encoding extends OutputEncoding>(
  context: Context,
  { row, stored }: CreatedContainer,
  { io, timeoutMs, signal }: RunInput<Encoding>,
): Promise<RunResult<Encoding>> {
  if (io.input !== undefined) {
    await removeContainer(context, row.id, { force: true })
    throw new PodlibError('ERR_INVALID_ARGUMENT', 'a container under a monitor cannot be given input: leave out monitor or input')
  }
  const limit = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  const signals = [signal, limit, context.closing].filter((one) => one !== undefined)
  try {
    await startContainer(context, row.id, signal)
    const exit = await waitForExit(context, row.id, AbortSignal.any(signals))
    const warnings = allWarnings(getContainer(context.db, row.id) ?? row, stored)
    const reading = readAllLogs(context, row.id, io.maxOutputBytes)
    // What it held goes meanwhile.
    await removeContainer(context, row.id, { force: true, read: reading.catch(() => {}) }).catch(ignoreMissing)
    const output = await reading
    const text = (bytes: Buffer) => (io.encoding === 'buffer' ? bytes : bytes.toString('utf8')) as RunResult<Encoding>['stdout']
    return { ...exit, warnings, stdout: text(output.stdout), stderr: text(output.stderr) }
  } catch (error) {
    await removeContainer(context, row.id, { force: true }).catch(ignoreMissing)
    if (limit?.aborted && !signal?.aborted)
      throw new PodlibError('ERR_EXEC_TIMEOUT', 'the container did not end within its time limit and was killed')
    throw error
  }
}

/** Somebody else has removed it meanwhile. */
function ignoreMissing(error: unknown): void {
  if (!isPodlibError(error, 'ERR_CONTAINER_NOT_FOUND')) throw error
}
