import { BlockList, isIP } from 'node:net'
import type { Environment } from './types.ts'

/**
 * The proxy for a URL by `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, read as Go programs read them: the
 * lower-case names come second, loopback is never proxied, `example.com` and `.example.com` also cover
 * sub-domains, and addresses may be given as CIDR blocks.
 */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const [upper, lower] = url.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : ['HTTP_PROXY', 'http_proxy']
  const proxy = env[upper] || env[lower]
  if (!proxy || isExempt(url, env.NO_PROXY || env.no_proxy || '')) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (host === 'localhost' || isLoopback(host)) return true
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return noProxy
    .split(',')
    .map((rule) => rule.trim().toLowerCase())
    .some((rule) => rule !== '' && covers(rule, host, port))
}

function covers(rule: string, host: string, port: string): boolean {
  if (rule === '*') return true
  if (rule.includes('/')) return inBlock(rule, host)
  const [, name = rule, wantedPort] = /^(\[.*\]|[^:]*):(\d+)$/.exec(rule) ?? []
  if (wantedPort !== undefined && wantedPort !== port) return false
  const bare = name.replace(/^\[|\]$/g, '').replace(/^\*(?=\.)/, '')
  if (bare.startsWith('.')) return host.endsWith(bare)
  return host === bare || (isIP(host) === 0 && host.endsWith(`.${bare}`))
}

function inBlock(rule: string, host: string): boolean {
  const [address = '', bits = ''] = rule.split('/')
  const family = isIP(address)
  if (family === 0 || isIP(host) !== family || !/^\d+$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  const block = new BlockList()
  block.addSubnet(address, Number(bits), kind)
  return block.check(host, kind)
}

function isLoopback(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
