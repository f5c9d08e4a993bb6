import { chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerConfig } from '../bundle/container-config.ts'
import type { ContainerFiles } from '../bundle/host-facts.ts'
import { hostsFile, isLoopback, parseResolvConf, resolvConf } from '../bundle/name-files.ts'
import { findProgram } from '../host/programs.ts'
import type { ContainerRow } from '../state/container-row.ts'

/** Where distributions put the init that podman brings. */
const INIT_CANDIDATES = [
  '/usr/libexec/podman/catatonit',
  '/usr/libexec/catatonit/catatonit',
  '/usr/bin/catatonit',
  '/usr/bin/tini',
  '/sbin/tini',
]

/** Writes the files that the container sees under /etc: they lie in the bundle and go with it. */
export function writeContainerFiles(input: {
  readonly directory: string
  readonly config: ContainerConfig
  readonly row: ContainerRow
  /** Who root of the container is on the host, where that is not this user. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined
}): ContainerFiles {
  const { directory, config, row, owner } = input
  const write = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text, { mode: 0o644 })
    if (owner) chownSync(path, owner.uid, owner.gid)
    return path
  }
  const { hostname, names } = config
  return {
    hosts: write('hosts', hostsFile({ names: [hostname, row.name], addresses: [], extraHosts: names.extraHosts })),
    resolvConf: write('resolv.conf', resolvConfOf(config)),
    hostname: hostname === null ? null : write('hostname', `${hostname}\n`),
    containerenv: write('containerenv', ''),
    shm: null,
    init: config.process.init ? findProgram('catatonit', { candidates: INIT_CANDIDATES }) : null,
    volumes: {},
  }
}

/** The host's own resolver settings, less what a container with its own network cannot reach, under what the caller said. */
function resolvConfOf({ names, namespaces }: ContainerConfig): string {
  const host = parseResolvConf(readText('/etc/resolv.conf'))
  const reachable = namespaces.network.mode === 'host' ? host.servers : host.servers.filter((server) => !isLoopback(server))
  return resolvConf({
    servers: names.dnsServers.length > 0 ? names.dnsServers : reachable,
    search: names.dnsSearch.length > 0 ? names.dnsSearch : host.search,
    options: names.dnsOptions.length > 0 ? names.dnsOptions : host.options,
  })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A host without the file has nothing to pass on.
    return ''
  }
}
