import { PodlibError } from '../errors/errors.ts'
import type { SpecDevice, SpecMount, SpecResources } from '../spec/runtime.ts'
import { isWithin } from './check.ts'
import type { ContainerConfig, DeviceConfig } from './container-config.ts'
import type { HostDeviceNode, HostFacts } from './host-facts.ts'

export type DeviceRule = NonNullable<SpecResources['devices']>[number]

export interface SpecDevices {
  readonly devices: SpecDevice[]
  readonly mounts: SpecMount[]
  readonly rules: DeviceRule[]
}

/** Nodes that every OCI runtime makes by itself (runtime-spec, "Default Devices"). */
const RUNTIME_DEVICES = new Set('null zero full random urandom tty console ptmx'.split(' ').map((name) => `/dev/${name}`))

/**
 * Devices, their cgroup rules, and the bind mounts that stand in for devices where nodes cannot be made. `nodes` holds
 * what the host has at (and, for a directory, below) the paths asked for; for a privileged container all it has.
 *
 * @throws ERR_INVALID_ARGUMENT for a device that the host does not have.
 */
export function specDevices(config: ContainerConfig, nodes: readonly HostDeviceNode[], facts: HostFacts): SpecDevices {
  const asked = config.devices.flatMap((device) => expand(device, nodes))
  const everything = config.security.privileged ? nodes.map((node) => ({ node, path: node.path, permissions: 'rwm' })) : []
  const granted = new Map([...everything, ...asked].filter(({ path }) => !RUNTIME_DEVICES.has(path)).map((grant) => [grant.path, grant]))
  const grants = [...granted.values()]
  if (!facts.canCreateDeviceNodes) {
    return { devices: [], rules: [], mounts: grants.map(({ node, path, permissions }) => deviceMount(node.path, path, permissions)) }
  }
  return { devices: grants.map(({ node, path }) => ({ ...node, path })), mounts: [], rules: deviceRules(config, grants) }
}

interface Grant {
  readonly node: HostDeviceNode
  readonly path: string
  readonly permissions: string
}

function expand(device: DeviceConfig, nodes: readonly HostDeviceNode[]): Grant[] {
  const found = nodes.filter(({ path }) => isWithin(path, device.path))
  if (found.length === 0) {
    throw new PodlibError('ERR_INVALID_ARGUMENT', `the host has no device at ${device.path}`, { details: { path: device.path } })
  }
  return found.map((node) => ({ node, path: device.containerPath + node.path.slice(device.path.length), permissions: device.permissions }))
}

/** Nothing first, then what was asked for; the OCI runtime adds its own default devices. */
function deviceRules(config: ContainerConfig, grants: readonly Grant[]): DeviceRule[] {
  if (config.security.privileged) return [{ allow: true, access: 'rwm' }]
  if (config.namespaces.user.mode !== 'host') return []
  const allowed = grants.map(({ node, permissions }) => ({
    allow: true,
    type: node.type,
    major: node.major,
    minor: node.minor,
    access: permissions,
  }))
  return [{ allow: false, access: 'rwm' }, ...allowed]
}

function deviceMount(source: string, destination: string, permissions: string): SpecMount {
  const mode = permissions.includes('w') ? 'rw' : 'ro'
  return { destination, type: 'bind', source, options: ['bind', 'nosuid', 'noexec', 'rprivate', mode] }
}
