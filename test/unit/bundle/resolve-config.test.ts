import { describe, expect, test } from '@jest/globals'
import { CONFIG_DEFAULTS } from '../../../src/bundle/config-defaults.ts'
import { resolveContainerConfig } from '../../../src/bundle/resolve-config.ts'
import { ID, image, resolve } from '../../helpers/bundle.ts'

const config = (...args: Parameters<typeof resolve>) => resolve(...args).config

describe('a container of which only a command is known', () => {
  test('gets the documented defaults', () => {
    const { process, resources, lifecycle, namespaces, log, shmSize, hostname, security } = config()
    expect(process).toMatchObject({
      args: ['/bin/sh'],
      cwd: '/',
      user: '',
      tty: false,
      stdin: false,
      umask: 0o022,
      rlimits: [],
      oomScoreAdj: null,
    })
    expect(resources).toMatchObject({ memory: null, memorySwap: null, cpuQuotaMicros: null, pidsLimit: 2048 })
    expect(lifecycle).toEqual({
      stopSignal: 15,
      stopTimeoutMs: 10_000,
      ephemeral: false,
      restart: { policy: 'no', maxRetries: null },
      healthcheck: null,
    })
    expect(namespaces).toMatchObject({ pid: { mode: 'private' }, user: { mode: 'host' }, network: { mode: 'none' }, idMappings: null })
    expect({ log, shmSize, hostname }).toEqual({ log: { driver: 'k8s-file', maxSize: null }, shmSize: 67108864, hostname: ID.slice(0, 12) })
    expect(security).toMatchObject({ privileged: false, noNewPrivileges: false, seccomp: 'default' })
  })

  test('survives JSON unchanged, because nothing is undefined', () => {
    const full = config({
      memory: '1g',
      mounts: [
        { type: 'bind', source: '/a', target: '/b' },
        { type: 'tmpfs', target: '/c' },
        { type: 'volume', target: '/d' },
      ],
      healthcheck: { command: 'true' },
      devices: ['/dev/fuse'],
    })
    expect(JSON.parse(JSON.stringify(full))).toStrictEqual(full)
    expect(JSON.parse(JSON.stringify(config()))).toStrictEqual(config())
  })
})

describe('the command', () => {
  const run = { Entrypoint: ['/entry', '-x'], Cmd: ['serve'] }
  const args = (options: { entrypoint?: string | string[]; command?: string[] }, config = run) =>
    resolveContainerConfig({ id: ID, options, image: image(config) }).config.process.args

  test('is the image’s entrypoint and command by default', () => {
    expect(args({})).toEqual(['/entry', '-x', 'serve'])
  })

  test('keeps the entrypoint when the caller gives a command', () => {
    expect(args({ command: ['ls'] })).toEqual(['/entry', '-x', 'ls'])
  })

  test('drops the image’s command when the caller gives an entrypoint', () => {
    expect(args({ entrypoint: '/mine' })).toEqual(['/mine'])
    expect(args({ entrypoint: ['/mine', '-y'], command: ['ls'] })).toEqual(['/mine', '-y', 'ls'])
  })

  test('is the caller’s alone when the entrypoint is cleared', () => {
    expect(args({ entrypoint: '', command: ['ls'] })).toEqual(['ls'])
    expect(args({ entrypoint: [''], command: ['ls'] })).toEqual(['ls'])
    expect(args({ entrypoint: [] })).toEqual(['serve'])
  })

  test('must be something', () => {
    expect(() => args({ entrypoint: '' })).toThrow('no command to run')
    expect(() => resolveContainerConfig({ id: ID, options: {} })).toThrow('no command to run')
    expect(() => args({ command: [''] }, { Entrypoint: [], Cmd: [] })).toThrow('the command to run is an empty string')
  })
})

describe('the environment', () => {
  test('is defaults, then the image’s, then the caller’s', () => {
    const { env } = config({ env: { B: 'caller', C: '3' }, tty: true }, { Env: ['A=1', 'B=image', 'PATH=/image'] }).process
    expect(env).toEqual(['PATH=/image', 'container=podlib', `HOSTNAME=${ID.slice(0, 12)}`, 'TERM=xterm', 'A=1', 'B=caller', 'C=3'])
  })

  test('leaves out what the caller does not want', () => {
    expect(config({ unsetEnv: ['A', 'container'], env: ['X='] }, { Env: ['A=1'] }).process.env).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(A|container)=/)]),
    )
    expect(config({ env: ['X='] }).process.env).toContain('X=')
  })

  test('is refused when the caller’s entry has no value, without telling the value of another', () => {
    expect(() => config({ env: ['SECRET'] })).toThrow('invalid environment entry "SECRET": write NAME=value')
    expect(() => config({ env: { 'A=B': 'hunter2' } })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
    )
    expect(() => config({ env: { A: 'x\0y' } })).toThrow('invalid environment entry "A"')
  })

  test('of two containers is not shared', () => {
    const options = { env: { A: '1' }, labels: { l: '1' } }
    const first = config(options)
    ;(first.process.env as string[]).push('LEAK=1')
    ;(first.labels as Record<string, string>).leak = '1'
    expect(config(options).process.env).not.toContain('LEAK=1')
    expect(options.labels).toEqual({ l: '1' })
    expect(CONFIG_DEFAULTS.env).toHaveLength(2)
  })
})

describe('limits', () => {
  test('are read from what people write', () => {
    expect(config({ memory: '256m', cpus: 0.5, shmSize: '1m', stopTimeout: '1m', logMaxSize: '10m' })).toMatchObject({
      resources: { memory: 268435456, memorySwap: 536870912, cpuQuotaMicros: 50000, cpuPeriodMicros: 100000 },
      shmSize: 1048576,
      lifecycle: { stopTimeoutMs: 60000 },
      log: { maxSize: 10485760 },
    })
  })

  test('of swap count memory too', () => {
    expect(config({ memory: 100, memorySwap: 'unlimited' }).resources.memorySwap).toBe(-1)
    expect(config({ memory: 100, memorySwap: 150 }).resources.memorySwap).toBe(150)
    expect(() => config({ memory: 100, memorySwap: 50 })).toThrow('memorySwap 50 is below memory 100')
    expect(() => config({ memorySwap: 50 })).toThrow('give memory too')
    expect(() => config({ memory: 100, memoryReservation: 200 })).toThrow('memoryReservation 200 is above memory 100')
  })

  test('of processes may be taken away', () => {
    expect([0, -1, 'unlimited' as const].map((pidsLimit) => config({ pidsLimit }).resources.pidsLimit)).toEqual([null, null, null])
  })

  test.each([
    [{ cpus: 0.001 }, 'below 0.01'],
    [{ cpus: Number.NaN }, '/cpus must be number'],
    [{ memory: 0 }, 'leave it out for no limit'],
    [{ cpusetCpus: '0-' }, 'invalid cpusetCpus'],
    [{ unified: { '../x': '1' } }, 'invalid cgroup file'],
    [{ ulimits: { files: 1 } }, 'unknown ulimit "files"'],
    [{ ulimits: { nofile: { soft: 2, hard: 1 } } }, 'the soft limit 2 is above the hard limit 1'],
    [{ umask: '888' }, '/umask does not have the form'],
    [{ cgroupParent: '/a/../b' }, 'invalid cgroupParent'],
    [{ cgroupParent: 'machine.slice' }, 'give an absolute path'],
    [{ cgroupParent: 'a\nb' }, 'control character'],
  ])('%p is refused', (options, message) => {
    expect(() => config(options)).toThrow(message)
  })
})

describe('namespaces and names', () => {
  test('a hostname needs a UTS namespace', () => {
    expect(config({ hostname: 'web-1.example' }).hostname).toBe('web-1.example')
    expect(config({ uts: 'host' }).hostname).toBeNull()
    expect(config({ uts: 'host' }).process.env.join()).not.toContain('HOSTNAME')
    expect(() => config({ uts: 'host', hostname: 'x' })).toThrow('UTS namespace')
    expect(() => config({ hostname: 'a b' })).toThrow('invalid hostname')
    expect(() => config({ hostname: '-a' })).toThrow('invalid hostname')
  })

  test('a path must be absolute', () => {
    expect(config({ network: { path: '/run/netns/a' } }).namespaces.network).toEqual({ mode: 'path', path: '/run/netns/a' })
    expect(() => config({ network: { path: 'netns/a' } })).toThrow('not absolute')
  })

  test('a user namespace must map its root, once', () => {
    const range = { containerId: 0, hostId: 1000, size: 10 }
    expect(config({ userNamespace: { uids: [range], gids: [range] } }).namespaces).toMatchObject({
      user: { mode: 'private' },
      idMappings: { uids: [range] },
    })
    expect(() => config({ userNamespace: { uids: [{ ...range, containerId: 1 }], gids: [range] } })).toThrow('maps nothing to id 0')
    expect(() => config({ userNamespace: { uids: [range, { ...range, containerId: 5 }], gids: [range] } })).toThrow('overlap')
    expect(() => config({ userNamespace: { uids: [{ ...range, hostId: 4294967290 }], gids: [range] } })).toThrow('outside of 0 to')
  })

  test('sysctls must belong to a namespace of the container’s own', () => {
    expect(config({ sysctls: { 'net/ipv4/ip_forward': '1', 'kernel.shmmax': '1 2' } }).sysctls).toEqual({
      'net.ipv4.ip_forward': '1',
      'kernel.shmmax': '1 2',
    })
    expect(() => config({ sysctls: { 'kernel.core_pattern': '|/x' } })).toThrow('belongs to no namespace')
    expect(() => config({ sysctls: { 'net.core.somaxconn': '1' }, network: 'host' })).toThrow('needs a network namespace')
    expect(() => config({ sysctls: { 'kernel.sem': '1' }, ipc: { container: 'x' } })).toThrow('needs a ipc namespace')
  })
})

describe('the life of a container', () => {
  test('restart policies are read', () => {
    expect(config({ restart: 'on-failure:3' }).lifecycle.restart).toEqual({ policy: 'on-failure', maxRetries: 3 })
    expect(config({ restart: 'always' }).lifecycle.restart).toEqual({ policy: 'always', maxRetries: null })
    expect(() => config({ restart: 'always:3' as 'always' })).toThrow('invalid restart policy')
    expect(() => config({ restart: 'always', ephemeral: true })).toThrow('cannot be restarted')
  })

  test('health checks come from the caller or from the image', () => {
    const Healthcheck = { Test: ['CMD-SHELL', 'curl x'], Interval: 5e9, Timeout: 0, StartPeriod: 1.5e6, Retries: 7 }
    expect(config({}, { Healthcheck }).lifecycle.healthcheck).toEqual({
      args: ['/bin/sh', '-c', 'curl x'],
      intervalMs: 5000,
      timeoutMs: 30000,
      startPeriodMs: 2,
      retries: 7,
    })
    expect(config({ healthcheck: false }, { Healthcheck }).lifecycle.healthcheck).toBeNull()
    expect(config({}, { Healthcheck: { Test: ['NONE'] } }).lifecycle.healthcheck).toBeNull()
    expect(config({ healthcheck: { command: ['a', 'b'], interval: '1s' } }).lifecycle.healthcheck).toMatchObject({
      args: ['a', 'b'],
      intervalMs: 1000,
      retries: 3,
    })
  })

  test('stop signals have names and numbers', () => {
    expect(config({ stopSignal: 'SIGRTMIN+3' }).lifecycle.stopSignal).toBe(37)
    expect(config({}, { StopSignal: 'QUIT' }).lifecycle.stopSignal).toBe(3)
    expect(config({}, { StopSignal: '' }).lifecycle.stopSignal).toBe(15)
    expect(() => config({ stopSignal: 'SIGNOPE' })).toThrow('unknown stop signal')
  })
})

describe('options that do not exist', () => {
  test.each([
    [{ memmory: '1g' }, "container options has the unknown field 'memmory'"],
    [{ mounts: [{ type: 'bind', source: '/a', target: '/b', ro: true }] }, "container options: /mounts/0 has the unknown field 'ro'"],
    [{ mounts: [{ type: 'nfs', target: '/b' }] }, '/mounts/0'],
    [{ mounts: [{ type: 'bind', target: '/b' }] }, "/mounts/0 lacks the field 'source'"],
    [{ tty: 'yes' }, 'container options: /tty must be boolean'],
    [{ env: 5 }, 'container options: /env must be array or object'],
    [{ restart: 3 }, '/restart must be string'],
    [{ logDriver: 'syslog' }, '/logDriver must be one of "k8s-file", "json-file", "journald", "none"'],
    [{ capAdd: ['NOPE'] }, 'unknown capability "NOPE"'],
    [{ capAdd: ['kill'], capDrop: ['CAP_KILL'] }, 'capability CAP_KILL is both added and dropped'],
    [{ name: '../x' }, 'invalid container name'],
    [{ seccomp: 'relative.json' }, 'seccomp'],
    [{ devices: [{ path: '/dev/x', permissions: 'rr' }] }, 'device permissions'],
  ])('%p is refused in words', (options, message) => {
    expect(() => config(options as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining(message) }),
    )
  })
})
