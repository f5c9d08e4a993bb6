import { PodlibError } from '../errors/errors.ts'
import type { RuntimeSpec, SpecHooks, SpecLinux } from '../spec/runtime.ts'
import type { SeccompProfile } from '../spec/seccomp-profile.ts'
import type { ContainerConfig, MountConfig } from './container-config.ts'
import { DEFAULT_SECCOMP_PROFILE } from './default-seccomp.ts'
import { specDevices } from './devices.ts'
import type { ContainerFiles, HostDeviceNode, HostFacts, Identity } from './host-facts.ts'
import { specMounts, sysfsIsHosts } from './mounts.ts'
import { isNew, type NamespacePaths, specIdMappings, specNamespaces } from './namespaces.ts'
import { containerCapabilities, specProcess } from './process.ts'
import { specResources } from './resources.ts'
import { compileSeccomp } from './seccomp.ts'
import { protectedPaths } from './security.ts'

/** The version that crun 1.8 and runc 1.1 both know. */
const OCI_VERSION = '1.0.2'

export interface GenerateInput {
  readonly config: ContainerConfig
  /** The mounted root file system. */
  readonly rootfsPath: string
  readonly facts: HostFacts
  /** From `resolveUser`. */
  readonly identity: Identity
  readonly files: ContainerFiles
  /** Namespaces to join instead of what the config says. */
  readonly namespacePaths?: NamespacePaths
  /** Host devices at and below the paths that the config asks for; all of them when it is privileged. */
  readonly deviceNodes?: readonly HostDeviceNode[]
  /** The profile at the path that the config names, or else the host's. @defaultValue podlib's own, unless a path is named */
  readonly seccompProfile?: SeccompProfile
  readonly hooks?: SpecHooks
  /** Beside the caller's own: for the OCI runtime. */
  readonly annotations?: Readonly<Record<string, string>>
  /** Empty leaves the choice to the OCI runtime. */
  readonly cgroupsPath: string
}

export interface GeneratedSpec {
  readonly spec: RuntimeSpec
  /** What this host cannot give of what was asked for, in words for a log. */
  readonly warnings: readonly string[]
}

/** Writes the `config.json` of a container. Pure: everything about the host comes in with `facts` and `files`. */
export function generateSpec(input: GenerateInput): GeneratedSpec {
  const { config, facts, identity, hooks } = input
  const warnings: string[] = []
  const namespaces = specNamespaces(config.namespaces, input.namespacePaths ?? {})
  const devices = specDevices(config, input.deviceNodes ?? [], facts)
  const mounts = [...specMounts({ config, facts, namespaces, files: input.files }), ...devices.mounts]
  const annotations = { ...config.annotations, ...input.annotations }
  const hostname = isNew(namespaces, 'uts') ? config.hostname : null
  const spec: RuntimeSpec = {
    ociVersion: OCI_VERSION,
    process: specProcess({ config, identity, facts }, warnings),
    root: { path: input.rootfsPath, readonly: config.rootfs.readonly },
    ...(hostname !== null && { hostname }),
    mounts,
    ...(hooks && Object.keys(hooks).length > 0 && { hooks }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    linux: {
      namespaces,
      ...idMappings(config, isNew(namespaces, 'user')),
      devices: devices.devices,
      ...(input.cgroupsPath !== '' && { cgroupsPath: input.cgroupsPath }),
      resources: specResources({ config: config.resources, deviceRules: devices.rules, facts }, warnings),
      ...rootfsPropagation(config.mounts),
      ...seccomp(input),
      ...(Object.keys(config.sysctls).length > 0 && { sysctl: { ...config.sysctls } }),
      ...protectedPaths(config.security, facts, sysfsIsHosts({ namespaces, facts })),
    },
  }
  return { spec, warnings }
}

function seccomp({ config, facts, seccompProfile }: GenerateInput): Pick<SpecLinux, 'seccomp'> {
  const { security } = config
  if (security.privileged || security.seccomp === 'unconfined') return {}
  // Never podlib's own in place of the one that was asked for: it may be the weaker one.
  if (seccompProfile === undefined && security.seccomp !== 'default') {
    throw new PodlibError('ERR_INTERNAL', `the seccomp profile ${security.seccomp} was not read`)
  }
  const profile = seccompProfile ?? DEFAULT_SECCOMP_PROFILE
  const capabilities = containerCapabilities(security, facts)
  return { seccomp: compileSeccomp(profile, { capabilities, architecture: facts.architecture, kernelVersion: facts.kernelVersion }) }
}

function idMappings({ namespaces }: ContainerConfig, newUser: boolean): Pick<SpecLinux, 'uidMappings' | 'gidMappings'> {
  const { idMappings: mappings } = namespaces
  if (!newUser || mappings === null) return {}
  return { uidMappings: specIdMappings(mappings.uids), gidMappings: specIdMappings(mappings.gids) }
}

/** A shared or slave mount needs the root of its tree to be so too, or the kernel makes it private first. */
function rootfsPropagation(mounts: readonly MountConfig[]): Pick<SpecLinux, 'rootfsPropagation'> {
  const modes = mounts.flatMap((mount) => (mount.type === 'bind' ? [mount.propagation] : []))
  if (modes.some((mode) => mode.endsWith('shared'))) return { rootfsPropagation: 'shared' }
  return modes.some((mode) => mode.endsWith('slave')) ? { rootfsPropagation: 'slave' } : {}
}
