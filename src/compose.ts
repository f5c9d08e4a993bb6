import { readFileSync } from 'node:fs'
import { arch } from 'node:os'
import { basename } from 'node:path'
import { CONFIG_DEFAULTS, type ConfigDefaults } from './bundle/config-defaults.ts'
import { describeMachine } from './compose-machine.ts'
import { loadRegistries, loadTrust, openCredentials, openRegistry } from './compose-registry.ts'
import { cleanupBehind } from './container/cleanup.ts'
import { PodlibError } from './errors/errors.ts'
import { createEventLog } from './events/event-log.ts'
import { loadHooks } from './hooks/read.ts'
import type { Host } from './host/host.ts'
import { openHost } from './host/open-host.ts'
import { readBootId, readProcess } from './host/proc.ts'
import { findProgram } from './host/programs.ts'
import { flock } from './host/sys/libc.ts'
import { createBackground } from './lifecycle/background.ts'
import type { Context } from './lifecycle/context.ts'
import { exitCommand } from './lifecycle/exit-command.ts'
import { createExitWatch } from './lifecycle/exit-watch.ts'
import { type StorePaths, storePaths } from './lifecycle/paths.ts'
import { leaveStoreDirectories, makeStoreDirectories } from './lifecycle/store-directories.ts'
import { type FileLock, withFileLock } from './lock/file-lock.ts'
import { createLocks } from './lock/locks.ts'
import { holdOwnerLock } from './lock/owner-lock.ts'
import { k8sFile } from './log/k8s-file.ts'
import { noLog } from './log/none.ts'
import { createConmon } from './monitor/conmon/conmon.ts'
import type { Monitor } from './monitor/monitor.ts'
import { createCrun } from './oci-runtime/crun.ts'
import type { OciRuntime } from './oci-runtime/oci-runtime.ts'
import { createRunc } from './oci-runtime/runc.ts'
import type { ResolvedOptions } from './options.ts'
import { hostPlatform } from './spec/platform.ts'
import { openDatabase } from './state/database.ts'
import { createImageStores } from './storage/additional/image-stores.ts'
import { createOverlayDriver } from './storage/overlay/overlay-driver.ts'
import { type Once, once } from './util/once.ts'

/** The wired parts, and how to take them apart. */
export interface Composition {
  readonly context: Context
  /** Ends workers, connections and watches, and waits for work in the background. */
  close(): Promise<void>
}

/** conmon lies beside podman on some distributions, outside of every `PATH`. */
const CONMON_CANDIDATES = [
  '/usr/libexec/podman/conmon',
  '/usr/local/libexec/podman/conmon',
  '/usr/lib/podman/conmon',
  '/usr/local/lib/podman/conmon',
]

/** Puts the parts together: the only place that names drivers. What costs time is made when it is first needed. */
export async function compose(options: ResolvedOptions): Promise<Composition> {
  const paths = storePaths(options.root, options.runRoot)
  makeStoreDirectories(paths, options.user.uid)
  const owner = await holdOwnerLock({ runRoot: paths.runRoot, flock })
  try {
    return await assemble(options, paths, owner)
  } catch (error) {
    owner.release()
    throw error
  }
}

async function assemble(options: ResolvedOptions, paths: StorePaths, owner: FileLock): Promise<Composition> {
  const imageStores = createImageStores({ additional: options.additionalImageStores, ...options })
  const db = await openDatabase(paths.database)
  const background = createBackground()
  const closing = new AbortController()
  // What is made after the close would never be closed.
  const unlessClosed = <T>(make: () => Promise<T>) =>
    once(async () => {
      closing.signal.throwIfAborted()
      return make()
    })
  const exclusively = <T>(work: () => Promise<T>) =>
    withFileLock({ path: paths.hostLock, flock, what: `the host of run root ${paths.runRoot}` }, work)
  const host = unlessClosed(() => openHost({ runRoot: paths.runRoot, user: options.user, env: options.env, exclusively }))
  const registriesConf = once(() => loadRegistries(options))
  const credentials = once(async () => openCredentials(options, await registriesConf()))
  const registry = unlessClosed(async () => openRegistry(options, await registriesConf(), await credentials()))
  const monitor = once(async () => findMonitor({ host: await host(), options, paths }))
  const exits = createExitWatch({
    db,
    monitor,
    onExit: (id) => background.add(cleanupBehind(context, id)),
  })
  const context: Context = {
    paths,
    db,
    locks: createLocks({ dir: paths.locks, flock }),
    events: createEventLog({ db }),
    host,
    imageStores,
    storage: once(async () => createOverlayDriver({ root: paths.root, runRoot: paths.runRoot, host: await host() })),
    ociRuntime: ociRuntimes({ host, options, paths }),
    monitor,
    findProgram: (name) => findProgram((name === 'buildah' ? options.buildah : undefined) ?? name, { path: options.env.PATH }),
    logDriver: (name) => (name === 'none' ? noLog : k8sFile),
    machine: once(async () => describeMachine(await host(), options)),
    registry,
    registriesConf,
    credentials: async (authFile) => (authFile === undefined ? credentials() : openCredentials(options, await registriesConf(), authFile)),
    onRegistryWarning: options.onRegistryWarning,
    trust: once(() => loadTrust(options)),
    hooks: once(() => loadHooks({ directories: options.hooksDirectories })),
    dockerHost: options.env.DOCKER_HOST,
    platform: hostPlatform(arch(), cpuInfo()),
    exits,
    userFiles: new Map(),
    defaults: defaultsOf(options),
    bootId: readBootId(),
    exitCommand: once(async () => exitCommand({ runRoot: paths.runRoot, path: options.env.PATH, open: containerOptions(options) })),
    owner: { pid: process.pid, startTime: readProcess(process.pid)?.startTime ?? 0 },
    background,
    closing: closing.signal,
  }
  return {
    context,
    async close() {
      closing.abort(new PodlibError('ERR_RUNTIME_CLOSED', 'the runtime was closed'))
      // What ends with the runtime still sees its containers end.
      await background.settled()
      exits.close()
      await background.settled()
      await Promise.all([registry.made()?.then((client) => client.close()), host.made()?.then((opened) => opened.close())])
      owner.release()
      leaveStoreDirectories(paths, db)
      db.close()
    },
  }
}

interface Found {
  readonly options: ResolvedOptions
  readonly paths: StorePaths
}

function findMonitor({ host, options, paths }: Found & { readonly host: Host }): Monitor {
  const path = findProgram(options.conmon ?? 'conmon', { candidates: CONMON_CANDIDATES, path: options.env.PATH })
  return createConmon({ host, path, exits: paths.exits, persist: paths.persist, env: programEnv(options.env) })
}

/** The OCI runtimes by name or path, each made once. */
function ociRuntimes({ host, options, paths }: Found & { readonly host: () => Promise<Host> }): Context['ociRuntime'] {
  const runtimes = new Map<string, Once<OciRuntime>>()
  const defaultRuntime = once(async () => findDefaultRuntime(options))
  const create = async (path: string) => {
    const opened = await host()
    const cgroupManager = opened.facts.makesCgroups ? 'cgroupfs' : 'none'
    const own = { stateDirectory: paths.ociRoot, cacheDirectory: paths.cache, env: programEnv(options.env) }
    const input = { host: opened, path, cgroupManager, ...own } as const
    // `crun`, `crun-1.20`, `crun-vm`; any other is spoken to as runc is.
    return basename(path).startsWith('crun') ? createCrun(input) : createRunc(input)
  }
  return async (nameOrPath) => {
    const path = nameOrPath === undefined ? await defaultRuntime() : findProgram(nameOrPath, { path: options.env.PATH })
    const known = runtimes.get(path) ?? once(() => create(path))
    runtimes.set(path, known)
    return known()
  }
}

/** crun is the faster one; any other has to be asked for. */
function findDefaultRuntime({ ociRuntime, env }: ResolvedOptions): string {
  if (ociRuntime !== undefined) return findProgram(ociRuntime, { path: env.PATH })
  try {
    return findProgram('crun', { path: env.PATH })
  } catch (missing) {
    try {
      return findProgram('runc', { path: env.PATH })
    } catch {
      throw missing
    }
  }
}

function defaultsOf({ network, logDriver, cgroupParent }: ResolvedOptions): ConfigDefaults {
  return { ...CONFIG_DEFAULTS, network, logDriver, cgroupParent, cgroupNamespace: 'private', imageVolumes: 'ignore' }
}

/** What of the options the end of a container depends on, for whoever sees to it in place of this program. */
function containerOptions(options: ResolvedOptions): Partial<ResolvedOptions> {
  const { root, runRoot, ociRuntime, conmon, network, logDriver, hooksDirectories, cgroupParent } = options
  return { root, runRoot, ociRuntime, conmon, network, logDriver, hooksDirectories, cgroupParent }
}

/** All that helper programs get of the environment. */
function programEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  const path = env.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return env.XDG_RUNTIME_DIR === undefined ? { PATH: path } : { PATH: path, XDG_RUNTIME_DIR: env.XDG_RUNTIME_DIR }
}

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return ''
  }
}
