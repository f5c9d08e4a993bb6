import { randomUUID } from 'node:crypto'
import { basename } from 'node:path'
import { isPodlibError, PodlibError } from '../errors/errors.ts'
import { runtimeFailure } from '../errors/runtime-failure.ts'
import { startAttached } from '../host/attached-process.ts'
import type { Started } from '../host/attached-runtime.ts'
import { markExec } from '../host/exec-mark.ts'
import type { Host } from '../host/host.ts'
import type { EndAttachedInput } from '../host/jobs/end-attached.ts'
import type { RunProgramInput, RunProgramOutput } from '../host/jobs/run-program.ts'
import { type RuntimeCommand, runtimeArgv } from '../host/runtime-command.ts'
import type { StdioOptions } from '../host/stdio.ts'
import type { RuntimeSpec } from '../spec/runtime.ts'
import { serializeSpec } from '../spec/serialize-spec.ts'
import type { AttachedRequest, CallOptions, ExecRequest, OciRuntime, RunRequest } from './oci-runtime.ts'

/** A verb, its arguments, and what it is meant to do, for the error. */
interface Verb {
  readonly args: readonly string[]
  readonly attempt: string
  readonly stdin?: string
}

/** An {@link OciRuntime} for any program that understands the command line that crun and runc share. */
export function createCliRuntime(host: Host, command: RuntimeCommand): OciRuntime {
  const name = basename(command.path)

  async function execute(input: RunProgramInput, { signal }: CallOptions): Promise<RunProgramOutput> {
    return host.run('run-program', { env: command.env, sealed: command.sealed, ...input }, { signal })
  }

  async function call({ args, attempt, stdin }: Verb, options: CallOptions = {}): Promise<void> {
    const argv = runtimeArgv(command, ['--log-format=json', ...args])
    const { exitCode, signal, stderr } = await execute({ argv, ...(stdin !== undefined && { stdin }) }, options)
    if (exitCode === 0) return
    throw runtimeFailure({ attempt, log: stderr, program: { argv, exitCode, signal: signal === null ? null : String(signal), stderr } })
  }

  return {
    name,
    command,
    async version(options = {}) {
      const argv = [command.path, '--version']
      const { exitCode, stdout, stderr } = await execute({ argv }, options)
      if (exitCode === 0) return stdout.split('\n', 1)[0] as string
      throw new PodlibError('ERR_OCI_RUNTIME', `${name} --version failed`, { program: { argv, exitCode, signal: null, stderr } })
    },
    prepareSpec: async (_id, spec) => withoutRuntimeAnnotations(spec),
    start: (id, options) => call({ args: ['start', id], attempt: `start the container ${id}` }, options),
    kill: (id, signal, { all, ...options } = {}) =>
      call(
        { args: ['kill', ...(all ? ['--all'] : []), id, String(signal)], attempt: `send signal ${signal} to the container ${id}` },
        options,
      ),
    setPaused: (id, paused, options) =>
      paused
        ? call({ args: ['pause', id], attempt: `pause the container ${id}` }, options)
        : call({ args: ['resume', id], attempt: `resume the container ${id}` }, options),
    update: (id, resources, options) =>
      call({ args: ['update', '--resources', '-', id], attempt: `update the container ${id}`, stdin: JSON.stringify(resources) }, options),
    async delete(id, { force, ...options } = {}) {
      try {
        await call({ args: ['delete', ...(force ? ['--force'] : []), id], attempt: `delete the container ${id}` }, options)
      } catch (error) {
        if (!isPodlibError(error, 'ERR_OCI_CONTAINER_NOT_FOUND')) throw error
      }
    },
    run: (request) => runAttached(host, command, request),
    exec: (request) => execAttached(host, command, request),
  }
}

function runAttached(host: Host, runtime: RuntimeCommand, request: RunRequest) {
  const { id, bundle, mountPoint, spec, timeoutMs, memoryCgroup, signal } = request
  const config = serializeSpec(spec)
  return startAttached(stdioOptions(request), (stdio, started) =>
    attended({ host, container: { runtime, id }, started }, (onProgress) =>
      host.run('run-attached', { runtime, id, bundle, mountPoint, config, stdio, timeoutMs, memoryCgroup }, { signal, onProgress }),
    ),
  )
}

function execAttached(host: Host, runtime: RuntimeCommand, request: ExecRequest) {
  const { id, timeoutMs, awaitProgram, memoryCgroup, signal } = request
  const process = serializeSpec(markExec(request.process))
  return startAttached(stdioOptions(request), (stdio, started) =>
    attended({ host, started }, (onProgress) =>
      host.run('exec-attached', { runtime, id, process, stdio, timeoutMs, awaitProgram, memoryCgroup }, { signal, onProgress }),
    ),
  )
}

interface Attendance {
  readonly host: Host
  readonly started: (process: Started) => void
  /** The container that ends with the process. */
  readonly container?: EndAttachedInput['container']
}

/** Runs a job whose process must not go on without it: when the worker is killed, a new one ends what it left. */
async function attended<Exit>(
  { host, container, started }: Attendance,
  job: (onProgress: Attendance['started']) => Promise<Exit>,
): Promise<Exit> {
  let process: Started | undefined
  try {
    return await job((found) => {
      process = found
      started(found)
    })
  } catch (error) {
    if (process && isPodlibError(error, 'ERR_HOST_WORKER_DIED')) await host.run('end-attached', { process, container })
    throw error
  }
}

function stdioOptions({ ioDirectory, stdin, stdout, stderr }: AttachedRequest): StdioOptions {
  return { directory: ioDirectory, name: randomUUID(), stdin, stdout, stderr }
}

/** crun takes orders from annotations, down to the seccomp filter: none may come from a caller or an image. */
function withoutRuntimeAnnotations(spec: RuntimeSpec): RuntimeSpec {
  const { annotations } = spec
  if (annotations === undefined || !Object.keys(annotations).some(isOrder)) return spec
  return { ...spec, annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => !isOrder(key))) }
}

function isOrder(key: string): boolean {
  return key.startsWith('run.oci.')
}
