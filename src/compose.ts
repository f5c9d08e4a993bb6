import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { arch } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { capabilitiesFromMask } from './bundle/capabilities.ts'
import { CONFIG_DEFAULTS, type ConfigDefaults } from './bundle/config-defaults.ts'
import { cleanupEnded } from './container/cleanup.ts'
import { readSeccompProfile } from './container/seccomp-file.ts'
import { errorCode, isPodlibError, PodlibError } from './errors/errors.ts'
import { createEventLog } from './events/event-log.ts'
import { loadHooks } from './hooks/read.ts'
import { readCgroupLayout } from './host/cgroup.ts'
import type { Host } from './host/host.ts'
import { endSharedHost, openHost } from './host/open-host.ts'
import { makePrivateDirectory } from './host/private-directory.ts'
import { readBootId, readProcess } from './host/proc.ts'
import { findProgram } from './host/programs.ts'
import { flock } from './host/sys/libc.ts'
import type { BackgroundWork, Context, Machine, Trust } from './lifecycle/context.ts'
import { createExitWatch } from './lifecycle/exit-watch.ts'
import { type StorePaths, storePaths } from './lifecycle/paths.ts'
import { expectsProcess } from './lifecycle/reconcile.ts'
import { type FileLock, withFileLock } from './lock/file-lock.ts'
import { createLocks } from './lock/locks.ts'
import { holdOwnerLock, tryOwnerLock } from './lock/owner-lock.ts'
import { k8sFile } from './log/k8s-file.ts'
import { noLog } from './log/none.ts'
import { createConmon } from './monitor/conmon/conmon.ts'
import { createCrun } from './oci-runtime/crun.ts'
import type { OciRuntime } from './oci-runtime/oci-runtime.ts'
import { createRunc } from './oci-runtime/runc.ts'
import type { ResolvedOptions } from './options.ts'
import type { RegistryClient } from './registry/client-interface.ts'
import type { RegistriesConf } from './registry/registries-conf.ts'
import { hostPlatform } from './spec/platform.ts'
import type { SeccompProfile } from './spec/seccomp-profile.ts'
import { loadUnsettledContainers } from './state/container-table.ts'
import { type Database, openDatabase } from './state/database.ts'
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
  makeDirectories(paths, options.user.uid)
  const owner = await holdOwnerLock({ runRoot: paths.runRoot, flock })
  try {
    return await assemble(options, paths, owner)
  } catch (error) {
    owner.release()
    throw error
  }
}

async function assemble(options: ResolvedOptions, paths: StorePaths, owner: FileLock): Promise<Composition> {
  const db = await openDatabase(paths.database)
  const locks = createLocks({ dir: paths.locks, flock })
  const background = createBackground()
  const exclusively = <T>(work: () => Promise<T>) =>
    withFileLock({ path: paths.hostLock, flock, what: `the host of run root ${paths.runRoot}` }, work)
  const closing = new AbortController()
  // What is made after the close would never be closed.
  const unlessClosed = <T>(make: () => Promise<T>) =>
    once(async () => {
      closing.signal.throwIfAborted()
      return make()
    })
  const host = unlessClosed(() => openHost({ runRoot: paths.runRoot, user: options.user, env: options.env, exclusively }))
  const machine = once(async () => describeMachine(await host(), options))
  const env = programEnv(options.env)
  const runtimes = new Map<string, Once<OciRuntime>>()
  const registriesConf = once(() => loadRegistries(options))
  const registry = unlessClosed(async () => openRegistry(options, await registriesConf()))
  const defaultRuntime = once(async () => findDefaultRuntime(options))

  const ociRuntime = async (nameOrPath?: string): Promise<OciRuntime> => {
    const path = nameOrPath === undefined ? await defaultRuntime() : findProgram(nameOrPath, { path: options.env.PATH })
    const known = runtimes.get(path) ?? once(async () => createRuntime({ host: await host(), path, paths, env }))
    runtimes.set(path, known)
    return known()
  }
  const monitor = once(async () => {
    const path = findProgram(options.conmon ?? 'conmon', { candidates: CONMON_CANDIDATES, path: options.env.PATH })
    return createConmon({ host: await host(), path, exits: paths.exits, persist: paths.persist, env })
  })
  const exits = createExitWatch({
    db,
    monitor,
    onExit: (id) => background.add(cleanupEnded(context, id).catch(leaveForRecovery)),
  })
  const context: Context = {
    paths,
    db,
    locks,
    events: createEventLog({ db }),
    host,
    storage: once(async () => createOverlayDriver({ root: paths.root, runRoot: paths.runRoot, host: await host() })),
    ociRuntime,
    monitor,
    logDriver: (name) => (name === 'none' ? noLog : k8sFile),
    machine,
    registry,
    registriesConf,
    trust: once(() => loadTrust(options)),
    hooks: once(() => loadHooks({ directories: options.hooksDirectories })),
    dockerHost: options.env.DOCKER_HOST,
    platform: hostPlatform(arch(), cpuInfo()),
    exits,
    defaults: defaultsOf(options),
    bootId: readBootId(),
    exitCommand: once(async () => exitCommand(paths, options.env.PATH)),
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
      removeIfEmpty(paths.io)
      owner.release()
      endIfUnused(paths, db)
      db.close()
    },
  }
}

/** Another runtime of this process may still use it. */
function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTEMPTY') throw error
  }
}

/** Who closes last and leaves no container behind takes along what the hosts of this store have shared. */
function endIfUnused({ runRoot }: StorePaths, db: Database): void {
  const isUsed = () => loadUnsettledContainers(db).some(({ status }) => expectsProcess(status))
  // Looked at first: who holds the lock alone keeps the exit command of a container that ends just now from its work.
  if (isUsed() || !existsSync(runRoot)) return
  const alone = tryOwnerLock({ runRoot, flock })
  if (alone === undefined) return
  try {
    if (!isUsed()) endSharedHost(runRoot)
  } finally {
    alone.release()
  }
}

function makeDirectories(paths: StorePaths, uid: number): void {
  try {
    mkdirSync(paths.root, { recursive: true, mode: 0o700 })
    makePrivateDirectory(paths.runRoot, uid)
    mkdirSync(paths.locks, { recursive: true, mode: 0o700 })
  } catch (error) {
    if (isPodlibError(error)) throw error
    const code = errorCode(error)
    const advice =
      code === 'EACCES' || code === 'EPERM'
        ? 'choose a root and runRoot that this user may write, or run as root'
        : 'choose another root or runRoot'
    throw new PodlibError(
      'ERR_STORE_UNREADABLE',
      `cannot make the store at ${paths.root} with run root ${paths.runRoot} (${code}): ${advice}`,
      {
        details: { root: paths.root, runRoot: paths.runRoot, systemCode: code },
        cause: error,
      },
    )
  }
}

function createRuntime({
  host,
  path,
  paths,
  env,
}: {
  host: Host
  path: string
  paths: StorePaths
  env: Readonly<Record<string, string>>
}): OciRuntime {
  const cgroupManager = host.facts.makesCgroups ? 'cgroupfs' : 'none'
  const options = { host, path, stateDirectory: paths.ociRoot, cacheDirectory: paths.cache, cgroupManager, env } as const
  return path.endsWith('crun') ? createCrun(options) : createRunc(options)
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

async function describeMachine(host: Host, { env, home }: ResolvedOptions): Promise<Machine> {
  const { boundingCapabilities, ...facts } = await host.run('describe-host', undefined)
  const config = env.XDG_CONFIG_HOME ?? `${home}/.config`
  return {
    facts: { ...facts, boundingCapabilities: capabilitiesFromMask(boundingCapabilities) },
    cgroups: readCgroupLayout(),
    seccompProfile: hostSeccompProfile([
      `${config}/containers/seccomp.json`,
      '/etc/containers/seccomp.json',
      '/usr/share/containers/seccomp.json',
    ]),
  }
}

/** The first that exists; without any, podlib's own profile is used. */
function hostSeccompProfile(candidates: readonly string[]): SeccompProfile | undefined {
  const path = candidates.find((candidate) => existsSync(candidate))
  return path === undefined ? undefined : readSeccompProfile(path)
}

async function loadRegistries({
  registriesConf,
  searchRegistries,
  insecureRegistries,
  env,
  home,
}: ResolvedOptions): Promise<RegistriesConf> {
  const { loadRegistriesConf, registriesConfPaths } = await import('./registry/registries-conf.ts')
  const loaded = await loadRegistriesConf(registriesConf === undefined ? registriesConfPaths(env, home) : [registriesConf])
  const insecure = insecureRegistries.map((prefix) => ({ prefix, location: prefix, insecure: true, blocked: false, mirrors: [] }))
  return {
    ...loaded,
    registries: [...loaded.registries.filter(({ prefix }) => !insecureRegistries.includes(prefix)), ...insecure],
    ...(searchRegistries && { unqualifiedSearchRegistries: searchRegistries }),
  }
}

async function openRegistry(options: ResolvedOptions, registries: RegistriesConf): Promise<RegistryClient> {
  const [{ createRegistryClient }, { createCredentialStore }, { certsDirectories }] = await Promise.all([
    import('./registry/registry-client.ts'),
    import('./registry/credentials.ts'),
    import('./registry/tls.ts'),
  ])
  const { env, home, user, authFile, credentials } = options
  const store = createCredentialStore({
    env,
    home,
    uid: user.uid,
    credentialHelpers: registries.credentialHelpers,
    ...(authFile !== undefined && { authFile }),
  })
  return createRegistryClient({
    registries,
    env,
    certsDirectories: certsDirectories(env, home),
    credentials: async (name, signal) => credentials[name.registry] ?? store.lookup(name, signal),
  })
}

async function loadTrust({ policy, home, user }: ResolvedOptions): Promise<Trust> {
  const [{ loadPolicy }, { parsePolicy }, { loadSignatureConfig }] = await Promise.all([
    import('./trust/policy-file.ts'),
    import('./trust/policy-parse.ts'),
    import('./trust/registries-d.ts'),
  ])
  const loaded =
    typeof policy === 'object' ? parsePolicy(policy) : await loadPolicy({ home, ...(policy !== undefined && { path: policy }) })
  return { policy: loaded, signatureConfig: await loadSignatureConfig({ home }), home: user.uid === 0 ? undefined : home }
}

function defaultsOf({ network, logDriver, cgroupParent }: ResolvedOptions): ConfigDefaults {
  return { ...CONFIG_DEFAULTS, network, logDriver, cgroupParent, cgroupNamespace: 'private', imageVolumes: 'ignore' }
}

/** Runs its arguments only while nobody holds the lock: with a podlib process alive that costs a millisecond and does nothing. */
const UNLESS_OWNED = 'flock=$0; lock=$1; shift; "$flock" -n -x "$lock" true && exec "$@"'

function exitCommand(paths: StorePaths, path: string | undefined): string[] {
  const extension = extname(import.meta.url)
  const program = fileURLToPath(new URL(`./programs/exit-command${extension}`, import.meta.url))
  const lock = join(paths.runRoot, 'owner.lock')
  return [
    findProgram('sh', { path }),
    '-c',
    UNLESS_OWNED,
    findProgram('flock', { path }),
    lock,
    process.execPath,
    program,
    paths.root,
    paths.runRoot,
  ]
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

function createBackground(): BackgroundWork {
  const running = new Set<Promise<unknown>>()
  return {
    add(work) {
      const tracked = work.finally(() => running.delete(tracked))
      running.add(tracked)
    },
    async settled() {
      while (running.size > 0) await Promise.allSettled(running)
    },
  }
}

/** What cannot be cleaned up now is found again at the next open. */
function leaveForRecovery(error: unknown): void {
  if (!isPodlibError(error)) throw error
}
