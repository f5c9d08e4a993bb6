import { refused, shown } from './check.ts'
import type { NamespacesConfig } from './container-config.ts'

const KEY = /^[a-z0-9_]+(?:(?:\.[a-zA-Z0-9_-]+)+|(?:\/[a-zA-Z0-9_-]+)+)$/
/** `+` and line ends separate settings in programs further down (CVE-2022-0811). */
const VALUE = /^[\x20-\x2a\x2c-\x7e\t]{0,4096}$/

const IPC_KEYS = new Set('msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced'.split(' ').map((name) => `kernel.${name}`))

/**
 * Only settings that live in a namespace of the container's own; any other one would be the host's.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function resolveSysctls(sysctls: Readonly<Record<string, string>>, namespaces: NamespacesConfig): Record<string, string> {
  const entries = Object.entries(sysctls).map(([key, value]): [string, string] => {
    if (!KEY.test(key)) throw refused('options', `invalid sysctl name ${shown(key)}`)
    if (!VALUE.test(value)) throw refused('options', `the value ${shown(value)} of sysctl ${key} holds a character that no sysctl needs`)
    const name = key.replaceAll('/', '.')
    const home = homeNamespace(name)
    if (home === undefined) throw refused('options', `sysctl ${name} belongs to no namespace: it would change the host`)
    const { mode } = namespaces[home]
    if (mode !== 'private' && mode !== 'none') throw refused('options', `sysctl ${name} needs a ${home} namespace of the container's own`)
    return [name, value]
  })
  return Object.fromEntries(entries)
}

function homeNamespace(name: string): 'network' | 'ipc' | 'uts' | undefined {
  if (name.startsWith('net.')) return 'network'
  if (IPC_KEYS.has(name) || name.startsWith('fs.mqueue.')) return 'ipc'
  return name === 'kernel.domainname' ? 'uts' : undefined
}
