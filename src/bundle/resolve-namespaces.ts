import { checkText, refused, shown } from './check.ts'
import type { ConfigDefaults } from './config-defaults.ts'
import type { NamespaceConfig, NamespacesConfig } from './container-config.ts'
import type { IdRange, IsolationOptions, NamespaceMode } from './container-options.ts'

const MAX_ID = 2 ** 32 - 2

export function resolveNamespaces(options: IsolationOptions, defaults: ConfigDefaults): NamespacesConfig {
  const user = options.userNamespace ?? 'host'
  const mapped = typeof user === 'object' && 'uids' in user
  return {
    pid: namespace(options.pid ?? 'private'),
    ipc: namespace(options.ipc ?? 'private'),
    uts: namespace(options.uts ?? 'private'),
    cgroup: namespace(options.cgroup ?? defaults.cgroupNamespace),
    network: namespace(options.network ?? defaults.network),
    user: mapped ? { mode: 'private' } : namespace(user),
    idMappings: mapped ? { uids: checkRanges(user.uids, 'uids'), gids: checkRanges(user.gids, 'gids') } : null,
  }
}

/** Null when the name is not the container's own to choose. */
export function resolveHostname(id: string, options: IsolationOptions, namespaces: NamespacesConfig): string | null {
  const own = namespaces.uts.mode === 'private'
  if (options.hostname === undefined) return own ? id.slice(0, 12) : null
  if (!own) throw refused('options', "a hostname needs a UTS namespace of the container's own: leave out 'uts' or 'hostname'")
  // The kernel keeps 64 bytes; the letters are those of RFC 1123 and `_`, which people use.
  if (!/^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?$/.test(options.hostname)) {
    throw refused('options', `invalid hostname ${shown(options.hostname)}`)
  }
  return options.hostname
}

function namespace(mode: NamespaceMode | 'none'): NamespaceConfig {
  if (typeof mode === 'string') return { mode }
  if ('container' in mode) return { mode: 'container', container: mode.container }
  if (!checkText(mode.path, 'namespace path').startsWith('/'))
    throw refused('options', `namespace path ${shown(mode.path)} is not absolute`)
  return { mode: 'path', path: mode.path }
}

function checkRanges(ranges: readonly IdRange[], what: string): IdRange[] {
  if (!ranges.some(({ containerId }) => containerId === 0))
    throw refused('options', `userNamespace.${what} maps nothing to id 0, and a container needs a root`)
  for (const { containerId, hostId, size } of ranges) {
    if (Math.min(containerId, hostId, size - 1) < 0 || Math.max(containerId, hostId) + size - 1 > MAX_ID) {
      throw refused('options', `userNamespace.${what} holds a range outside of 0 to ${MAX_ID}`)
    }
  }
  const sorted = [...ranges].sort((a, b) => a.containerId - b.containerId)
  if (sorted.some((range, i) => i > 0 && range.containerId < (sorted[i - 1] as IdRange).containerId + (sorted[i - 1] as IdRange).size)) {
    throw refused('options', `userNamespace.${what} holds ranges that overlap`)
  }
  return ranges.map(({ containerId, hostId, size }) => ({ containerId, hostId, size }))
}
