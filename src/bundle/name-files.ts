import { isIP } from 'node:net'
import { hasControl, refused, shown } from './check.ts'
import type { NamesConfig } from './container-config.ts'

const DNS_OPTION = /^[a-z0-9-]+(?::[A-Za-z0-9./-]+)?$/
const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})$/

/**
 * The text of /etc/hosts: loopback, the container's own names at its addresses, and the extra hosts. Anything that
 * could begin a line of its own is refused.
 */
export function hostsFile(input: {
  /** The container's names, its hostname first; `null`s are skipped. */
  readonly names: readonly (string | null)[]
  /** Its addresses; without one its names stand at the loopback address. */
  readonly addresses: readonly string[]
  readonly extraHosts: NamesConfig['extraHosts']
  /** Address of the host, for extra hosts at `host-gateway`. */
  readonly hostGateway?: string
}): string {
  const names = [...new Set(input.names.filter((name) => name !== null))].map(checkHost)
  const extra = Object.entries(input.extraHosts).map(([host, address]) => {
    const actual = address === 'host-gateway' ? input.hostGateway : address
    if (actual === undefined) throw refused('options', `extra host ${shown(host)}: this network has no host-gateway`)
    return hostsLine(actual, [checkHost(host)])
  })
  const own = input.addresses.length > 0 ? input.addresses : ['127.0.0.1']
  return [
    ...extra,
    hostsLine('127.0.0.1', ['localhost']),
    hostsLine('::1', ['localhost', 'ip6-localhost', 'ip6-loopback']),
    ...(names.length > 0 ? own.map((address) => hostsLine(address, names)) : []),
    '',
  ].join('\n')
}

/** The text of /etc/resolv.conf (resolv.conf(5)). */
export function resolvConf(input: {
  readonly servers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}): string {
  for (const server of input.servers) {
    // A link-local server may carry a zone: fe80::1%eth0.
    if (isIP(server) === 0) throw refused('options', `DNS server ${shown(server)} is not an IP address`)
  }
  for (const domain of input.search) {
    if (!isDomain(domain)) throw refused('options', `invalid DNS search domain ${shown(domain)}`)
  }
  for (const option of input.options) {
    if (!DNS_OPTION.test(option)) throw refused('options', `invalid DNS option ${shown(option)}`)
  }
  return [
    ...(input.search.length > 0 ? [`search ${input.search.join(' ')}`] : []),
    ...input.servers.map((server) => `nameserver ${server}`),
    ...(input.options.length > 0 ? [`options ${input.options.join(' ')}`] : []),
    '',
  ].join('\n')
}

/** What a host's own /etc/resolv.conf says, without what {@link resolvConf} would refuse. */
export function parseResolvConf(text: string): { servers: string[]; search: string[]; options: string[] } {
  const found = { servers: [] as string[], search: [] as string[], options: [] as string[] }
  for (const line of text.slice(0, 64 * 1024).split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver' && values[0] !== undefined && isIP(values[0]) !== 0) found.servers.push(values[0])
    if (keyword === 'search' || keyword === 'domain') found.search = values.filter(isDomain)
    if (keyword === 'options') found.options.push(...values.filter((value) => DNS_OPTION.test(value)))
  }
  return found
}

/** Whether a DNS server answers only on its own machine: a container with a network of its own cannot reach it. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}

function hostsLine(address: string, names: readonly string[]): string {
  if (isIP(address) === 0) throw refused('options', `address ${shown(address)} of host ${shown(names[0])} is not an IP address`)
  return `${address}\t${names.join(' ')}`
}

function isDomain(name: string): boolean {
  return name === '.' || HOST_NAME.test(name.replace(/\.$/, ''))
}

function checkHost(name: string): string {
  if (hasControl(name) || !HOST_NAME.test(name)) throw refused('options', `invalid host name ${shown(name)}`)
  return name
}
