import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { Duration } from '../bundle/container-options.ts'
import { generateExecProcess } from '../bundle/process.ts'
import { PodlibError } from '../errors/errors.ts'
import type { EventDraft } from '../events/event.ts'
import type { Context, StoredContainer } from '../lifecycle/context.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { getContainer, getContainerConfig } from '../state/container-table.ts'
import { checkChoice, checkOptions, invalidOption, type OptionNames } from '../util/options.ts'
import { parseDuration, parseSize } from '../util/quantity.ts'
import { limitedMemoryCgroup } from './cgroup-path.ts'
import { identify } from './identify.ts'
import { collectOutput, drained, encodeOutput, KeptOutput, withOutput } from './output.ts'
import { ContainerProcess, type ProcessExit } from './process.ts'

/** What a further process in a container gets. @public */
export interface SpawnOptions {
  /** Added to, and winning over, the container's. @defaultValue \{\} */
  readonly env?: Readonly<Record<string, string>>
  /** Absolute working directory. @defaultValue the container's */
  readonly cwd?: string
  /** `name`, `uid`, `name:group` or `uid:gid`. @defaultValue the container's */
  readonly user?: string
  /** All capabilities of the host. @defaultValue false */
  readonly privileged?: boolean
  /** `'pipe'` gives a stream, `'ignore'` is /dev/null. @defaultValue 'ignore' */
  readonly stdin?: 'pipe' | 'ignore'
  /** @defaultValue 'pipe' */
  readonly stdout?: 'pipe' | 'ignore'
  /** @defaultValue 'pipe' */
  readonly stderr?: 'pipe' | 'ignore'
  /** Kills the process and all that it started after this time: milliseconds, or text with a unit. @defaultValue never */
  readonly timeout?: Duration
  /** Kills the process and all that it started. */
  readonly signal?: AbortSignal
}

/** @public */
export interface ExecOptions<Encoding extends OutputEncoding = 'utf8'> extends Omit<SpawnOptions, 'stdin' | 'stdout' | 'stderr'> {
  /** What it reads from standard input. @defaultValue nothing */
  readonly input?: string | Uint8Array
  /** `'buffer'` gives bytes as they came. @defaultValue 'utf8' */
  readonly encoding?: Encoding
  /**
   * Most that is kept of each stream, in bytes; more is the error ERR_OUTPUT_TOO_LARGE, which has what was kept in its `details`.
   * @defaultValue 64 MiB
   */
  readonly maxOutputBytes?: number
}

/** @public */
export type OutputEncoding = 'utf8' | 'buffer'

/** What a process said and how it ended. A code other than 0 is no error. @public */
export interface ExecResult<Encoding extends OutputEncoding = 'utf8'> extends ProcessExit {
  readonly stdout: Encoding extends 'buffer' ? Buffer : string
  readonly stderr: Encoding extends 'buffer' ? Buffer : string
}

const COMMON_OPTIONS = { env: true, cwd: true, user: true, privileged: true, timeout: true, signal: true } as const
const SPAWN_OPTIONS: OptionNames<SpawnOptions> = { ...COMMON_OPTIONS, stdin: true, stdout: true, stderr: true }
const EXEC_OPTIONS: OptionNames<ExecOptions> = { ...COMMON_OPTIONS, input: true, encoding: true, maxOutputBytes: true }

/** Starts a process in a running container; its streams lead straight to this program. */
export async function spawnInContainer(
  context: Context,
  id: string,
  argv: readonly string[],
  options: SpawnOptions = {},
): Promise<ContainerProcess> {
  checkOptions('spawn', options, SPAWN_OPTIONS)
  for (const stream of ['stdin', 'stdout', 'stderr'] as const) checkChoice(stream, options[stream], ['pipe', 'ignore'])
  return startProcess(context, id, argv, options)
}

async function startProcess(context: Context, id: string, argv: readonly string[], options: SpawnOptions): Promise<ContainerProcess> {
  if (!Array.isArray(argv) || argv.some((arg) => typeof arg !== 'string'))
    throw invalidOption('argv', argv, "give the program and its arguments as a list of texts: ['ls', '-l']")
  const timeoutMs = options.timeout === undefined ? undefined : parseDuration(options.timeout, 'timeout')
  const { row, stored } = runningContainer(context, id)
  const [runtime, machine] = await Promise.all([context.ociRuntime(stored.ociRuntime), context.machine()])
  const user = options.user ?? stored.config.process.user
  const storage = await context.storage()
  const identity = await identify(
    context,
    { user, groups: options.user === undefined ? stored.config.process.groups : [] },
    storage.rootfs(id).path,
  )
  const process = generateExecProcess({
    config: stored.config,
    identity,
    facts: machine.facts,
    options: {
      args: argv,
      env: Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      privileged: options.privileged ?? false,
    },
  })
  mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
  const execId = randomBytes(16).toString('hex')
  const killer = new AbortController()
  const attached = await runtime.exec({
    id,
    process,
    ioDirectory: context.paths.io,
    memoryCgroup: await limitedMemoryCgroup(context, id, stored.config),
    stdin: options.stdin ?? 'ignore',
    stdout: options.stdout ?? 'pipe',
    stderr: options.stderr ?? 'pipe',
    timeoutMs,
    ...(stored.config.namespaces.idMappings !== null && row.pid !== null && { awaitProgram: row.pid }),
    signal: AbortSignal.any([...(options.signal ? [options.signal] : []), killer.signal, context.closing]),
  })
  const started = new ContainerProcess(attached, killer)
  announce(context, { row, execId, argv, exited: started.exited })
  return started
}

/** Runs a process to its end and collects what it said. */
export async function execInContainer<Encoding extends OutputEncoding>(
  context: Context,
  id: string,
  argv: readonly string[],
  options: ExecOptions<Encoding> = {},
): Promise<ExecResult<Encoding>> {
  checkOptions('exec', options, EXEC_OPTIONS)
  checkOutputOptions(options)
  const process = await startProcess(context, id, argv, { ...options, stdin: options.input === undefined ? 'ignore' : 'pipe' })
  return collectProcess(process, options)
}

/** What `exec` and `run` have in common. @throws ERR_INVALID_ARGUMENT */
export function checkOutputOptions({
  input,
  encoding,
  maxOutputBytes,
}: Pick<ExecOptions<OutputEncoding>, 'input' | 'encoding' | 'maxOutputBytes'>): void {
  checkChoice('encoding', encoding, ['utf8', 'buffer'])
  if (maxOutputBytes !== undefined) parseSize(maxOutputBytes, 'maxOutputBytes')
  if (input !== undefined && typeof input !== 'string' && !ArrayBuffer.isView(input))
    throw invalidOption('input', typeof input, 'give text or bytes')
}

/** Feeds a process its input, reads its output, and waits for its end. */
export async function collectProcess<Encoding extends OutputEncoding>(
  process: ContainerProcess,
  options: Pick<ExecOptions<Encoding>, 'input' | 'encoding' | 'maxOutputBytes'>,
): Promise<ExecResult<Encoding>> {
  const [stdout, stderr] = [new KeptOutput('standard output', options), new KeptOutput('standard error', options)]
  const outputs = [collectOutput(process.stdout, stdout), collectOutput(process.stderr, stderr)]
  // A program may end without reading its input: that is its business.
  process.stdin?.on('error', () => {})
  process.stdin?.end(options.input)
  try {
    const exit = await Promise.race([process.exited, ...outputs.map(({ done }) => failureOf(done))])
    await drained(outputs)
    return { ...exit, ...encodeOutput(stdout, stderr, options) }
  } catch (error) {
    await process.kill()
    await drained(outputs).catch(() => {})
    throw withOutput(error, () => encodeOutput(stdout, stderr, options))
  } finally {
    process.stdout?.destroy()
    process.stderr?.destroy()
    process.stdin?.destroy()
  }
}

/** Never resolves: it is there to be raced against. */
function failureOf(work: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => work.catch(reject))
}

function runningContainer(context: Context, id: string): { row: ContainerRow; stored: StoredContainer } {
  const row = getContainer(context.db, id)
  if (row === undefined) throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
  if (row.status !== 'running') {
    throw new PodlibError('ERR_CONTAINER_STATE', `cannot run a process in container ${id.slice(0, 12)}: its status is ${row.status}`, {
      details: { id, status: row.status },
    })
  }
  return { row, stored: getContainerConfig(context.db, id) as StoredContainer }
}

interface Announcement {
  readonly row: ContainerRow
  readonly execId: string
  readonly argv: readonly string[]
  readonly exited: ContainerProcess['exited']
}

/** Events of an exec are told behind its back: nobody waits for a database because of them. */
function announce(context: Context, { row, execId, argv, exited }: Announcement): void {
  const subject = { type: 'container', id: row.id, name: row.name } as const
  const publish = (event: EventDraft) => context.background.add(context.events.publish(event).catch(() => {}))
  const died = (exitCode: number) => publish({ ...subject, action: 'exec_died', attributes: { execId, exitCode } })
  publish({ ...subject, action: 'exec', attributes: { execId, command: [...argv] } })
  // No work in the background of its own: closing the runtime must not wait for the process.
  exited.then(
    ({ exitCode }) => died(exitCode),
    () => died(-1),
  )
}
