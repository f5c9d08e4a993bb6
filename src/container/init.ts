import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ContainerConfig } from '../bundle/container-config.ts'
import type { IdRange as MappedRange } from '../bundle/container-options.ts'
import { type GeneratedSpec, generateSpec } from '../bundle/generate.ts'
import { matchHooks } from '../hooks/match.ts'
import { type IdMaps, mappedRoot } from '../host/mapped-directories.ts'
import type { Context, Machine, StoredContainer } from '../lifecycle/context.ts'
import { assertWhole } from '../lifecycle/lost-layers.ts'
import type { ContainerSession } from '../lifecycle/with-container.ts'
import type { RuntimeSpec, SpecHooks } from '../spec/runtime.ts'
import type { SeccompProfile } from '../spec/seccomp-profile.ts'
import { serializeSpec } from '../spec/serialize-spec.ts'
import type { ContainerRow } from '../state/container-row.ts'
import { crashPoint } from '../util/crash-point.ts'
import { cgroupPath } from './cgroup-path.ts'
import { undoInit } from './cleanup.ts'
import { hostDeviceNodes } from './device-nodes.ts'
import { writeContainerFiles } from './files.ts'
import { identify, identifyFresh } from './identify.ts'
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
    const { spec, mounted } = await prepareBundle(context, session, stored)
    const logPath = context.paths.log(row.id)
    mkdirSync(dirname(logPath), { recursive: true, mode: 0o700 })
    const creation = {
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
    }
    // Its error is the one that tells what happened; and nobody undoes this before it is done.
    const created = await monitor.create(creation).finally(() => mounted)
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

/** What a container is made from. */
export interface Bundle {
  readonly spec: RuntimeSpec
  /** The worker is still at it, perhaps: a job that is sent now begins when the mount is done, or has failed. */
  readonly mounted: Promise<void>
}

/** Mounts the root file system, looks up the user and makes the bundle: what attached and monitored containers have in common. */
export async function prepareBundle(context: Context, session: ContainerSession, stored: StoredContainer): Promise<Bundle> {
  const { row } = session
  if (row.imageId !== null) assertWhole(context, row.imageId)
  const storage = await context.storage()
  // The second shows the next process, should this one die, that there may be something to sweep.
  for (const path of [context.paths.bundle(row.id), context.paths.io]) mkdirSync(path, { recursive: true, mode: 0o700 })
  // The worker mounts while this process writes the spec.
  const ids = ownIds(stored.config)
  const mounted = storage
    .mount({ containerId: row.id, layers: stored.layers, volatile: row.ephemeral, ...(ids && { ids }) })
    .then(() => crashPoint('init: mounted'))
  // Who needs it waits for it; until then its failure is nobody's.
  mounted.catch(() => {})
  try {
    // And the application gets its turn, here and further on: all of this in one would hold up its event loop.
    await nextTurn()
    const { spec, warnings } = await specOf(context, { row, stored, mounted })
    if (warnings.join() !== row.warnings.join()) await session.patch({ warnings })
    // Files appear one after the other there: the next job would begin in between.
    if (ids) await mounted
    crashPoint('init: bundle written')
    return { spec, mounted }
  } catch (error) {
    // Whoever undoes this must not meet the mount half done.
    await mounted.catch(() => {})
    throw error
  }
}

interface SpecInput {
  readonly row: ContainerRow
  readonly stored: StoredContainer
  readonly mounted: Promise<unknown>
}

async function specOf(context: Context, { row, stored, mounted }: SpecInput): Promise<GeneratedSpec> {
  const { config, layers, attended } = stored
  const [storage, machine] = await Promise.all([context.storage(), context.machine()])
  const rootfs = { path: storage.rootfs(row.id).path, layers, mounted }
  // Made by the verb that starts it, it is as its image made it. Others may have been written to.
  const isFresh = row.attached || attended
  const identity = isFresh
    ? await identifyFresh(context, config.process, rootfs)
    : await mounted.then(() => identify(context, config.process, rootfs.path))
  const ids = ownIds(config)
  const files = writeContainerFiles({ directory: context.paths.bundle(row.id), config, row, owner: ids && mappedRoot(ids) })
  await nextTurn()
  return generateSpec({
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
