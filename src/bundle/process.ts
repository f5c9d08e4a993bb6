import { PodlibError } from '../errors/errors.ts'
import type { SpecProcess } from '../spec/runtime.ts'
import { ALL_CAPABILITIES, mergeCapabilities, processCapabilities } from './capabilities.ts'
import { checkWorkingDirectory } from './check.ts'
import type { ContainerConfig, SecurityConfig } from './container-config.ts'
import type { IdRange, ProcessOptions } from './container-options.ts'
import { envEntries, invalidEntry } from './env.ts'
import type { HostFacts, Identity } from './host-facts.ts'
import { INIT_PATH } from './mounts.ts'
import { specRlimits } from './rlimits.ts'

/** The capabilities that a container is limited to: `linux.seccomp` depends on them too. */
export function containerCapabilities(security: SecurityConfig, facts: HostFacts): string[] {
  const bounding = facts.boundingCapabilities
  if (security.privileged) return ALL_CAPABILITIES.filter((name) => bounding.includes(name))
  return mergeCapabilities({ base: security.capabilities, add: security.capAdd, drop: security.capDrop, bounding })
}

/** `process` of a container's own command. What the host cannot give of it goes into `warnings`. */
export function specProcess(
  input: { readonly config: ContainerConfig; readonly identity: Identity; readonly facts: HostFacts },
  warnings: string[],
): SpecProcess {
  const { config, identity, facts } = input
  const { process, security } = config
  assertIdsExist(config, identity, facts)
  if (!security.privileged) warnOfCapabilities(security, facts, warnings)
  return {
    terminal: process.tty,
    user: specUser(identity, process.umask),
    args: process.init ? [INIT_PATH, '--', ...process.args] : [...process.args],
    env: withHome(process.env, identity),
    cwd: process.cwd,
    capabilities: processCapabilities({
      list: containerCapabilities(security, facts),
      add: security.capAdd,
      uid: identity.uid,
      bounding: facts.boundingCapabilities,
    }),
    rlimits: specRlimits(process.rlimits, facts, warnings),
    noNewPrivileges: security.noNewPrivileges,
    ...oomScore(process.oomScoreAdj, facts, warnings),
  }
}

/** What a further process in a running container may choose for itself. */
export interface ExecProcessOptions {
  readonly args: readonly string[]
  /** Wins over the container's. */
  readonly env?: ProcessOptions['env']
  readonly cwd?: string
  readonly tty?: boolean
  readonly consoleSize?: { readonly height: number; readonly width: number }
  /** All capabilities of the host. */
  readonly privileged?: boolean
}

/**
 * The process file for `exec`. Root, and the container's own user, get what the container's process has; any other user
 * only what was asked for by name at create.
 */
export function generateExecProcess(input: {
  readonly config: ContainerConfig
  readonly options: ExecProcessOptions
  readonly identity: Identity
  readonly facts: HostFacts
}): SpecProcess {
  const { config, options, identity, facts } = input
  if (options.args.length === 0) throw new PodlibError('ERR_INVALID_ARGUMENT', 'exec needs a command')
  const security = { ...config.security, privileged: config.security.privileged || (options.privileged ?? false) }
  // What the host cannot give was told of when the container was made.
  const base = specProcess({ config: { ...config, security }, identity, facts }, [])
  return {
    ...base,
    terminal: options.tty ?? false,
    args: [...options.args],
    env: withHome(mergeEntries(config.process.env, options), identity),
    cwd: options.cwd === undefined ? config.process.cwd : checkWorkingDirectory(options.cwd),
    ...(options.consoleSize && { consoleSize: { ...options.consoleSize } }),
  }
}

/** `gid` is among the supplementary groups too, or a file closed to it would open for a process that drops it (CVE-2022-2989). */
function specUser({ uid, gid, additionalGids }: Identity, umask: number): SpecProcess['user'] {
  return { uid, gid, umask, additionalGids: [...new Set([gid, ...additionalGids])] }
}

/** The OCI runtime would fail with the kernel's "invalid argument". Supplementary groups are left to it. */
function assertIdsExist({ namespaces }: ContainerConfig, { uid, gid }: Identity, facts: HostFacts): void {
  const own = namespaces.idMappings
  // The ids of somebody else's namespace are not known here.
  if (own === null && namespaces.user.mode !== 'host') return
  const inside = (ranges: readonly IdRange[]) => ranges.map(({ containerId, size }) => ({ inside: containerId, size }))
  for (const [what, id, ranges] of [
    ['user', uid, own ? inside(own.uids) : facts.uids],
    ['group', gid, own ? inside(own.gids) : facts.gids],
  ] as const) {
    if (ranges.some((range) => id >= range.inside && id < range.inside + range.size)) continue
    const file = what === 'user' ? '/etc/subuid' : '/etc/subgid'
    throw new PodlibError(
      'ERR_INVALID_ARGUMENT',
      `${what} id ${id} is not mapped in the user namespace: choose another, or map more ids (${file})`,
      { details: { [what]: id } },
    )
  }
}

function withHome(env: readonly string[], { home }: Identity): string[] {
  return env.some((entry) => entry.startsWith('HOME=')) ? [...env] : [...env, `HOME=${home}`]
}

function mergeEntries(base: readonly string[], { env = {}, tty }: ExecProcessOptions): string[] {
  const merged = new Map<string, string>()
  for (const entry of [...base, ...(tty && !base.some((text) => text.startsWith('TERM=')) ? ['TERM=xterm'] : []), ...envEntries(env)]) {
    const equals = String(entry).indexOf('=')
    if (equals < 1 || entry.includes('\0')) throw invalidEntry(entry)
    merged.set(entry.slice(0, equals), entry)
  }
  return [...merged.values()]
}

/** Only what was asked for by name: the defaults are what a container gets where it can. */
function warnOfCapabilities({ capAdd }: SecurityConfig, { boundingCapabilities }: HostFacts, warnings: string[]): void {
  const missing = capAdd.filter((name) => name !== 'ALL' && !boundingCapabilities.includes(name))
  if (missing.length > 0) warnings.push(`this process does not have ${missing.join(', ')} to hand on: left out`)
}

/** Going below the current score is a privilege; asking for it without would fail the start. */
function oomScore(asked: number | null, facts: HostFacts, warnings: string[]): { oomScoreAdj?: number } {
  if (asked === null) return {}
  const { canLowerOomScoreAdj, currentOomScoreAdj } = facts
  if (canLowerOomScoreAdj || asked >= currentOomScoreAdj) return { oomScoreAdj: asked }
  warnings.push(`the OOM score cannot be lowered to ${asked} without CAP_SYS_RESOURCE: it is ${currentOomScoreAdj}`)
  return { oomScoreAdj: currentOomScoreAdj }
}
