import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { PodlibError } from '../../errors/errors.ts'
import type { Host } from '../../host/host.ts'
import { isSameProcess } from '../../host/proc.ts'
import type { CreateRequest, ExecRequest, ExitRecord, Monitor, MonitoredProcess, WatchedExec } from '../monitor.ts'
import { conmonArguments } from './conmon-arguments.ts'
import { readExitRecord } from './exit-file.ts'
import { watchExitFiles } from './exit-watch.ts'

export interface ConmonOptions {
  readonly host: Host
  /** Absolute path of conmon. */
  readonly path: string
  /** Directory of the exit files of all containers. */
  readonly exits: string
  /** Parent of one directory for each container. */
  readonly persist: string
  /** The whole environment of conmon: `PATH`, and `XDG_RUNTIME_DIR` where there is one. */
  readonly env: Readonly<Record<string, string>>
}

/** How long the OCI runtime gets to create a container; hooks run in that time. */
const CREATE_TIMEOUT_MS = 240_000
/** How often a monitor is looked at while its record is waited for. */
const POLL_MS = 250

/** conmon makes a file `exit` in the persistent directory. */
const EXEC_EXITS = 'exits'

/** The {@link Monitor} that is conmon. */
export function createConmon({ host, path, exits, persist, env }: ConmonOptions): Monitor {
  const persistOf = (id: string) => join(persist, id)
  const sessionOf = (id: string, session: string) => join(persistOf(id), 'exec', session)

  function remove(id: string): void {
    rmSync(join(exits, id), { force: true })
    rmSync(persistOf(id), { recursive: true, force: true })
  }

  async function create(request: CreateRequest): Promise<MonitoredProcess> {
    const { id, name, bundle, spec, log, runtime, terminal = false, stdin = false, exitCommand = [], cgroups, signal } = request
    remove(id)
    for (const directory of [exits, persistOf(id)]) mkdirSync(directory, { recursive: true, mode: 0o700 })
    const task = { type: 'create', name } as const
    const args = conmonArguments({ id, bundle, exits, persist: persistOf(id), log, terminal, stdin, exitCommand, task })
    const files = { [join(bundle, 'config.json')]: spec }
    const input = { conmon: path, args, env, runtime, id, files, bundle, cgroups, timeoutMs: CREATE_TIMEOUT_MS, mode: 'create' } as const
    try {
      return await host.run('conmon-create', input, { signal })
    } catch (error) {
      remove(id)
      throw error
    }
  }

  async function exec(request: ExecRequest): Promise<MonitoredProcess> {
    const { id, session, process, log, runtime, terminal = false, stdin = false, exitCommand = [], cgroups, signal } = request
    // conmon's pid file and sockets have fixed names: each process gets a directory, and its exit file a place, of its own.
    const directory = sessionOf(id, session)
    mkdirSync(join(directory, EXEC_EXITS), { recursive: true, mode: 0o700 })
    const processFile = join(directory, 'process.json')
    const task = { type: 'exec', session, processFile } as const
    const plan = { id, bundle: directory, exits: join(directory, EXEC_EXITS), persist: directory, log, terminal, stdin, exitCommand, task }
    const args = conmonArguments(plan)
    const files = { [processFile]: process }
    const input = {
      conmon: path,
      args,
      env,
      runtime,
      id,
      files,
      bundle: directory,
      cgroups,
      timeoutMs: CREATE_TIMEOUT_MS,
      mode: 'exec',
    } as const
    try {
      return await host.run('conmon-create', input, { signal })
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    } finally {
      // Its environment may hold secrets.
      rmSync(processFile, { force: true })
    }
  }

  function execRecord(id: string, session: string): ExitRecord | undefined {
    const directory = sessionOf(id, session)
    return readExitRecord(join(directory, EXEC_EXITS), directory, id)
  }

  return {
    name: 'conmon',
    async version({ signal } = {}) {
      const argv = [path, '--version']
      const { exitCode, stdout, stderr } = await host.run('run-program', { argv, env }, { signal })
      if (exitCode === 0) return stdout.split('\n', 1)[0] as string
      throw new PodlibError('ERR_MONITOR_FAILED', 'conmon --version failed', { program: { argv, exitCode, signal: null, stderr } })
    },
    create,
    exec,
    exitRecord: (id) => readExitRecord(exits, persistOf(id), id),
    execRecord,
    execEnded: (watched, signal) =>
      execEnded(watched, { directory: join(sessionOf(watched.id, watched.session), EXEC_EXITS), execRecord, signal }),
    watchExits: (callback) => watchExitFiles(exits, callback),
    remove,
  }
}

interface ExecEnd {
  readonly directory: string
  readonly execRecord: (id: string, session: string) => ExitRecord | undefined
  readonly signal: AbortSignal | undefined
}

function execEnded(
  { id, session, monitorPid, monitorStartTime }: WatchedExec,
  { directory, execRecord, signal }: ExecEnd,
): Promise<ExitRecord | undefined> {
  return new Promise<ExitRecord | undefined>((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const finish = () => {
      clearInterval(poll)
      signal?.removeEventListener('abort', abort)
      stop()
    }
    const end = () => {
      finish()
      resolve(execRecord(id, session))
    }
    const abort = () => {
      finish()
      reject(signal?.reason)
    }
    const poll = setInterval(() => isSameProcess(monitorPid, monitorStartTime) || end(), POLL_MS)
    signal?.addEventListener('abort', abort, { once: true })
    // The callback may come before `watchExitFiles` returns.
    let stop = () => {}
    let ended = false
    stop = watchExitFiles(directory, () => {
      ended = true
      queueMicrotask(end)
    })
    if (ended) stop()
  })
}
