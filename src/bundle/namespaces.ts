import { PodlibError } from '../errors/errors.ts'
import type { SpecIdMapping, SpecNamespace } from '../spec/runtime.ts'
import type { NamespaceConfig, NamespacesConfig } from './container-config.ts'
import type { IdRange } from './container-options.ts'

/** Paths of namespaces to join, known only at start: the pod's, another container's, one that the network made. */
export type NamespacePaths = Readonly<Partial<Record<SpecNamespace['type'], string>>>

const KINDS = ['pid', 'network', 'ipc', 'uts', 'cgroup', 'user'] as const

/**
 * `linux.namespaces`. A namespace that is left out is the OCI runtime's own, which is the host's. The mount namespace
 * is always new.
 *
 * @throws ERR_INTERNAL when another container's namespace was not looked up.
 */
export function specNamespaces(namespaces: NamespacesConfig, paths: NamespacePaths): SpecNamespace[] {
  const list: SpecNamespace[] = [{ type: 'mount' }]
  for (const type of KINDS) {
    const found = specNamespace(type, namespaces[type], paths[type])
    if (found) list.push(found)
  }
  return list
}

function specNamespace(type: (typeof KINDS)[number], config: NamespaceConfig, joined: string | undefined): SpecNamespace | undefined {
  if (joined !== undefined) return { type, path: joined }
  switch (config.mode) {
    case 'host':
      return undefined
    case 'path':
      return { type, path: config.path }
    case 'container':
      throw new PodlibError('ERR_INTERNAL', `no path given for the ${type} namespace of container ${config.container}`)
    default:
      return { type }
  }
}

/** Whether the container gets a namespace of this kind that is new, not joined. */
export function isNew(list: readonly SpecNamespace[], type: SpecNamespace['type']): boolean {
  return list.some((namespace) => namespace.type === type && namespace.path === undefined)
}

export function specIdMappings(ranges: readonly IdRange[]): SpecIdMapping[] {
  return ranges.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }))
}
