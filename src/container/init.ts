import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ContainerConfig } from '../bundle/container-config.ts'
import type { IdRange as MappedRange } from '../bundle/container-options.ts'
import { generateSpec } from '../bundle/generate.ts'
import type { Identity } from '../bundle/host-facts.ts'
import { resolveUser, USER_FILE_MAX_BYTES } from '../bundle/users.ts'
import { matchHooks } from '../hooks/match.ts'
import { type IdMaps, mappedRoot } from '../host/mapped-directories.ts'
import type { Context, Machine, StoredContainer } from '../lifecycle/context.ts'
import type { ContainerSession } from '../lifecycle/with-container.ts'
import type { RuntimeSpec, SpecHooks } from '../spec/runtime.ts'
import type { SeccompProfile } from '../spec/seccomp-profile.ts'
import { serializeSpec } from '../spec/serialize-spec.ts'
import { crashPoint } from '../util/crash-point.ts'
import { cgroupPath } from './cgroup-path.ts'
import { undoInit } from './cleanup.ts'
import { hostDeviceNodes } from './device-nodes.ts'
import { writeContainerFiles } from './files.ts'
import { readSeccompProfile } from './seccomp-file.ts'

/**
 * Makes a container ready to start: root file system, user, bundle, and the OCI runtime's `create` under a monitor.
 * What fails half-way is undone at once; what a crash interrupts is undone at the next open, because the row says that
 * init has begun.
 */
export async function initContainer(context: Context, session: ContainerSession, signal?: AbortSignal): Promise<void> {
  const { row, stored } = session
  const { log } = stored.config
  // What is not installed is found out before anything is made.
  const [runtime, monitor, exitCommand] = await Promise.all([
    context.ociRuntime(stored.ociRuntime),
    context.monitor(),
    context.exitCommand(),
  ])
  signal?.throwIfAborted()
  await session.patch({ initStep: 'begun', bootId: context.bootId })
  crashPoint('init: begun')
  try {
    const spec = await prepareBundle(context, session, stored)
    const logPath = context.paths.log(row.id)
    mkdirSync(dirname(logPath), { recursive: true, mode: 0o700 })
    const created = await monitor.create({
      id: row.id,
      name: row.name,
      bundle: context.paths.bundle(row.id),
      spec: serializeSpec(await runtime.prepareSpec(row.id, spec)),
      runtime: runtime.command,
      log: context.logDriver(log.driver).monitorArguments({ path: logPath, maxSize: log.maxSize }),
      terminal: stored.config.process.tty,
      stdin: stored.config.process.stdin,
      exitCommand,
      signal,
    })
    crashPoint('init: created')
    const { pid, monitorPid, pidStartTime = 0, monitorStartTime = 0 } = created
    await session.apply(
      { type: 'initialized', bootId: context.bootId, pid, pidStartTime, monitorPid, monitorStartTime },
      { announce: 'init' },
    )
  } catch (error) {
    await undoInit(context, session).catch(() => {})
    throw error
  }
}

/** Mounts the root file system, looks up the user and writes the bundle: what attached and monitored containers have in common. */
export async function prepareBundle(
  context: Context,
  session: ContainerSession,
  { config, layers }: StoredContainer,
): Promise<RuntimeSpec> {
  const { row } = session
  const [storage, machine] = await Promise.all([context.storage(), context.machine()])
  const bundle = context.paths.bundle(row.id)
  mkdirSync(bundle, { recursive: true, mode: 0o700 })
  const ids = ownIds(config)
  const rootfs = await storage.mount({ containerId: row.id, layers, volatile: row.ephemeral, ...(ids && { ids }) })
  crashPoint('init: mounted')
  const identity = await identify(context, config.process, rootfs.path)
  const files = writeContainerFiles({ directory: bundle, config, row, owner: ids && mappedRoot(ids) })
  const { spec, warnings } = generateSpec({
    config,
    rootfsPath: rootfs.path,
    facts: machine.facts,
    identity,
    files,
    ...seccompProfile(config.security.seccomp, machine),
    deviceNodes: hostDeviceNodes(config),
    hooks: await matchingHooks(context, config),
    cgroupsPath: machine.facts.cgroupControllers.length > 0 ? cgroupPath(context, config.cgroupParent, row.id) : '',
  })
  if (warnings.join() !== row.warnings.join()) await session.patch({ warnings })
  crashPoint('init: bundle written')
  return spec
}

/** How the ids of a user namespace of the container's own differ from the host's; undefined when they do not. */
function ownIds({ namespaces: { idMappings } }: ContainerConfig): IdMaps | undefined {
  if (idMappings === null) return undefined
  const ranges = (of: readonly MappedRange[]) => of.map(({ containerId, hostId, size }) => ({ inside: containerId, outside: hostId, size }))
  const maps = { uids: ranges(idMappings.uids), gids: ranges(idMappings.gids) }
  return [...maps.uids, ...maps.gids].some(({ inside, outside }) => inside !== outside) ? maps : undefined
}

/** Hooks are matched against what the caller said, never against anything of the image. */
async function matchingHooks(context: Context, { annotations, process, mounts }: ContainerConfig): Promise<SpecHooks> {
  const facts = { annotations, args: process.args, hasBindMounts: mounts.some(({ type }) => type === 'bind') }
  return matchHooks(await context.hooks(), facts).spec
}

function seccompProfile(seccomp: string, machine: Machine): { seccompProfile?: SeccompProfile } {
  if (seccomp.startsWith('/')) return { seccompProfile: readSeccompProfile(seccomp) }
  return machine.seccompProfile ? { seccompProfile: machine.seccompProfile } : {}
}

/** Who the container runs as. Numbers that need no look-up cost no reading of the image's files. */
export async function identify(
  context: Context,
  process: { readonly user: string; readonly groups: readonly string[] },
  rootfs: string,
): Promise<Identity> {
  const host = await context.host()
  const [passwd, group] = await host.run('read-in-root', {
    root: rootfs,
    paths: ['/etc/passwd', '/etc/group'],
    maxBytes: USER_FILE_MAX_BYTES,
  })
  return resolveUser({ user: process.user, groups: process.groups, passwd: passwd ?? null, group: group ?? null })
}
