import { describe, expect, test } from '@jest/globals'
import { hostsFile, isLoopback, parseResolvConf, resolvConf } from '../../../src/bundle/name-files.ts'

describe('/etc/hosts', () => {
  test('has loopback, the container’s names at its addresses, and the extra hosts', () => {
    const text = hostsFile({
      names: ['web', null, 'web', 'my-web'],
      addresses: ['10.88.0.2', 'fd00::2'],
      extraHosts: { db: '10.0.0.1', host: 'host-gateway' },
      hostGateway: '10.88.0.1',
    })
    expect(text).toBe(
      '10.0.0.1\tdb\n10.88.0.1\thost\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.88.0.2\tweb my-web\nfd00::2\tweb my-web\n',
    )
  })

  test('puts the names at the loopback address of a container without a network', () => {
    expect(hostsFile({ names: ['web'], addresses: [], extraHosts: {} })).toContain('\n127.0.0.1\tweb\n')
  })

  test.each([
    [{ names: ['a\n1.2.3.4 bank'] }, 'invalid host name'],
    [{ names: ['a b'] }, 'invalid host name'],
    [{ extraHosts: { db: '10.0.0.1 bank' } }, 'is not an IP address'],
    [{ extraHosts: { 'db\n1.1.1.1 x': '10.0.0.1' } }, 'invalid host name'],
    [{ extraHosts: { db: 'host-gateway' } }, 'no host-gateway'],
    [{ addresses: ['nonsense'] }, 'is not an IP address'],
  ])('refuses %p', (input, message) => {
    expect(() => hostsFile({ names: ['ok'], addresses: [], extraHosts: {}, ...input } as never)).toThrow(message)
  })
})

describe('/etc/resolv.conf', () => {
  test('is written from servers, search domains and options', () => {
    expect(resolvConf({ servers: ['1.1.1.1', 'fe80::1%eth0'], search: ['example.org', '.'], options: ['ndots:2', 'edns0'] })).toBe(
      'search example.org .\nnameserver 1.1.1.1\nnameserver fe80::1%eth0\noptions ndots:2 edns0\n',
    )
    expect(resolvConf({ servers: [], search: [], options: [] })).toBe('')
  })

  test.each([
    [{ servers: ['1.1.1.1\nsearch evil'] }],
    [{ servers: ['dns.example'] }],
    [{ search: ['a b'] }],
    [{ search: ['a\nnameserver 6.6.6.6'] }],
    [{ options: ['x y'] }],
    [{ options: ['ndots:2\n'] }],
  ])('refuses %p', (input) => {
    expect(() => resolvConf({ servers: [], search: [], options: [], ...input })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
  })

  test('of the host is read as its own resolver reads it', () => {
    const text =
      '# made by x\nnameserver 127.0.0.53\nnameserver  9.9.9.9 ; quad\nnameserver bad\ndomain old\nsearch a.b c.d "q"\noptions edns0 trust-ad $(x)\n'
    expect(parseResolvConf(text)).toEqual({ servers: ['127.0.0.53', '9.9.9.9'], search: ['a.b', 'c.d'], options: ['edns0', 'trust-ad'] })
    expect(['127.0.0.53', '::1', '9.9.9.9'].map(isLoopback)).toEqual([true, true, false])
  })
})
