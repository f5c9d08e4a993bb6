import { describe, expect, test } from '@jest/globals'
import type { HostFacts, Identity } from '../../../src/bundle/host-facts.ts'
import { generateExecProcess } from '../../../src/bundle/process.ts'
import { RLIM_INFINITY, serializeSpec } from '../../../src/spec/serialize-spec.ts'
import { FACTS, generate, NO_FILES, ROOT, resolve } from '../../helpers/bundle.ts'

const USER: Identity = { uid: 1000, gid: 1000, additionalGids: [27], home: '/home/u' }
const spec = (...args: Parameters<typeof generate>) => generate(...args).spec
const facts = (changes: Partial<HostFacts>) => ({ facts: { ...FACTS, ...changes } })
const mount = (from: ReturnType<typeof spec>, destination: string) => from.mounts?.find((entry) => entry.destination === destination)
const namespaceTypes = (from: ReturnType<typeof spec>) => from.linux?.namespaces?.map(({ type }) => type).sort()

describe('capabilities', () => {
  const DEFAULT = 11

  test('of root are the default list and nothing inheritable', () => {
    const capabilities = spec().process?.capabilities
    expect(capabilities?.bounding).toHaveLength(DEFAULT)
    expect(capabilities).toMatchObject({
      effective: capabilities?.bounding,
      permitted: capabilities?.bounding,
      inheritable: [],
      ambient: [],
    })
  })

  test('of another user are none but those that were asked for', () => {
    expect(spec({}, { identity: USER }).process?.capabilities).toMatchObject({ effective: [], permitted: [], inheritable: [], ambient: [] })
    const asked = spec({ capAdd: ['net_admin'] }, { identity: USER }).process?.capabilities
    expect(asked).toMatchObject({ effective: ['CAP_NET_ADMIN'], ambient: ['CAP_NET_ADMIN'], inheritable: ['CAP_NET_ADMIN'] })
    expect(asked?.bounding).toHaveLength(DEFAULT + 1)
  })

  test('are added, dropped, and limited to what the host process can hand on', () => {
    expect(spec({ capDrop: ['ALL'], capAdd: ['chown'] }).process?.capabilities?.bounding).toEqual(['CAP_CHOWN'])
    expect(spec({ capAdd: ['ALL'], capDrop: ['CAP_SYS_ADMIN'] }).process?.capabilities?.bounding).toHaveLength(
      FACTS.boundingCapabilities.length - 1,
    )
    expect(spec({ capAdd: ['ALL'] }, facts({ boundingCapabilities: ['CAP_CHOWN', 'CAP_KILL'] })).process?.capabilities?.effective).toEqual([
      'CAP_CHOWN',
      'CAP_KILL',
    ])
    expect(spec({ privileged: true }).process?.capabilities?.effective).toEqual(FACTS.boundingCapabilities)
  })
})

describe('a user', () => {
  test('has its primary group among its groups', () => {
    expect(spec({ umask: '077' }, { identity: USER }).process?.user).toEqual({
      uid: 1000,
      gid: 1000,
      umask: 0o77,
      additionalGids: [1000, 27],
    })
  })

  test('must exist in the user namespace that the container starts in', () => {
    const few = facts({ uids: [{ inside: 0, size: 1000 }], gids: [{ inside: 0, size: 1001 }] })
    expect(() => spec({}, { identity: USER, ...few })).toThrow('user id 1000 is not mapped')
    expect(() => spec({}, { identity: { ...USER, uid: 999, gid: 1001 }, ...few })).toThrow('group id 1001 is not mapped')
    const range = [{ containerId: 0, hostId: 1, size: 1001 }]
    const own = { userNamespace: { uids: range, gids: range } }
    expect(spec(own, { identity: USER, ...few }).process?.user.uid).toBe(1000)
    expect(() => spec(own, { identity: { ...USER, uid: 1001 } })).toThrow('user id 1001 is not mapped')
    expect(spec({ userNamespace: { path: '/proc/3/ns/user' } }, { identity: USER, ...few }).process?.user.uid).toBe(1000)
  })

  test('has a HOME, unless the environment says one', () => {
    expect(spec({}, { identity: USER }).process?.env).toContain('HOME=/home/u')
    expect(spec({ env: { HOME: '/x' } }, { identity: USER }).process?.env?.filter((entry) => entry.startsWith('HOME='))).toEqual([
      'HOME=/x',
    ])
  })
})

describe('protected paths', () => {
  test('are exactly these', () => {
    expect(spec().linux?.maskedPaths?.sort()).toEqual([
      '/proc/acpi',
      '/proc/interrupts',
      '/proc/kcore',
      '/proc/keys',
      '/proc/latency_stats',
      '/proc/sched_debug',
      '/proc/scsi',
      '/proc/timer_list',
      '/proc/timer_stats',
      '/sys/devices/system/cpu/cpu0/thermal_throttle',
      '/sys/devices/virtual/powercap',
      '/sys/firmware',
      '/sys/fs/selinux',
    ])
    expect(spec().linux?.readonlyPaths).toEqual(['/proc/asound', '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'])
  })

  test('are opened by name, by pattern, or all at once', () => {
    const opened = spec({ unmaskedPaths: ['/proc/kcore', '/sys/*'], maskedPaths: ['/proc/loadavg'] }).linux
    expect(opened?.maskedPaths).not.toContain('/proc/kcore')
    expect(opened?.maskedPaths?.filter((path) => path.startsWith('/sys'))).toEqual([])
    expect(opened?.maskedPaths).toContain('/proc/loadavg')
    expect(spec({ unmaskedPaths: 'all' }).linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] })
    expect(spec({ privileged: true }).linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] })
  })
})

describe('mounts', () => {
  test('come with parents before children', () => {
    const mounts =
      spec({
        mounts: [
          { type: 'tmpfs', target: '/a/b/c' },
          { type: 'tmpfs', target: '/a' },
        ],
      }).mounts ?? []
    const targets = mounts.map(({ destination }) => destination)
    for (const target of targets) {
      const parents = targets.filter((other) => target.startsWith(`${other}/`))
      for (const parent of parents) expect(targets.indexOf(parent)).toBeLessThan(targets.indexOf(target))
    }
  })

  test('of the caller replace default ones', () => {
    const shm = spec({ mounts: [{ type: 'tmpfs', target: '/dev/shm', size: '1g' }] }).mounts?.filter(
      ({ destination }) => destination === '/dev/shm',
    )
    expect(shm).toHaveLength(1)
    expect(shm?.[0]?.options).toContain('size=1073741824')
  })

  test('of podlib’s files do not reach into a directory of the caller’s', () => {
    const files = { ...NO_FILES, hosts: '/h', containerenv: '/e' }
    const made = spec({ mounts: [{ type: 'bind', source: '/srv', target: '/etc' }] }, { files })
    expect(mount(made, '/etc/hosts')).toBeUndefined()
    expect(mount(made, '/run/.containerenv')).toMatchObject({ source: '/e', options: ['bind', 'rprivate', 'rw'] })
  })

  test('of kernel file systems become bind mounts where the kernel would refuse', () => {
    const poor = facts({ ownsHostNamespaces: false })
    expect(mount(spec({ network: 'host' }, poor), '/sys')).toMatchObject({ type: 'bind', options: expect.arrayContaining(['rbind', 'ro']) })
    expect(spec({ network: 'host' }, poor).linux?.maskedPaths).toContain('/sys/kernel')
    expect(mount(spec({ network: 'none' }, poor), '/sys')).toMatchObject({ type: 'sysfs' })
    expect(mount(spec({ network: 'host' }), '/sys')).toMatchObject({ type: 'sysfs' })
    const range = [{ containerId: 0, hostId: 1000, size: 3 }]
    const mapped = spec({ network: { path: '/run/netns/a' }, pid: 'host', userNamespace: { uids: range, gids: range } })
    expect(mount(mapped, '/sys')).toMatchObject({ type: 'bind' })
    expect(mount(mapped, '/proc')).toMatchObject({ type: 'bind', source: '/proc' })
    expect(mount(mapped, '/dev/pts')?.options).not.toContain('gid=5')
  })

  test('of cgroups are read-only unless privileged', () => {
    expect(mount(spec(), '/sys/fs/cgroup')?.options).toContain('ro')
    expect(mount(spec({ privileged: true }), '/sys/fs/cgroup')?.options).toContain('rw')
  })

  test('of cgroups are empty where the container would see those of the host', () => {
    expect(mount(spec({}, facts({ cgroupVersion: 1, cgroupControllers: [] })), '/sys/fs/cgroup')).toMatchObject({ type: 'tmpfs' })
    expect(mount(spec({}, facts({ cgroupVersion: 2, cgroupControllers: [] })), '/sys/fs/cgroup')).toMatchObject({ type: 'cgroup' })
  })

  test('of message queues are left out where the host has none to lend', () => {
    const lent = { ownsHostNamespaces: false, hasMessageQueues: true }
    expect(mount(spec({ ipc: 'host' }, facts(lent)), '/dev/mqueue')).toMatchObject({ type: 'bind' })
    expect(mount(spec({ ipc: 'host' }, facts({ ...lent, hasMessageQueues: false })), '/dev/mqueue')).toBeUndefined()
    expect(mount(spec({}, facts({ ...lent, hasMessageQueues: false })), '/dev/mqueue')).toMatchObject({ type: 'mqueue' })
  })

  test('of /dev/shm follow the IPC namespace', () => {
    expect(mount(spec({ ipc: 'none' }), '/dev/shm')).toBeUndefined()
    expect(mount(spec({ ipc: 'host' }), '/dev/shm')).toMatchObject({ type: 'bind', source: '/dev/shm' })
    expect(mount(spec({}, { files: { ...NO_FILES, shm: '/host/shm' } }), '/dev/shm')).toMatchObject({ type: 'bind', source: '/host/shm' })
    expect(mount(spec({ shmSize: 0 }), '/dev/shm')?.options?.join()).not.toContain('size=')
  })

  test('that are shared make the root of the tree shared', () => {
    const bind = { type: 'bind', source: '/a', target: '/a' } as const
    expect(spec({ mounts: [{ ...bind, propagation: 'rshared' }] }).linux?.rootfsPropagation).toBe('shared')
    expect(spec({ mounts: [{ ...bind, propagation: 'rslave' }] }).linux?.rootfsPropagation).toBe('slave')
    expect(spec({ mounts: [bind] }).linux?.rootfsPropagation).toBeUndefined()
  })

  test('of volumes and of an init program must be given', () => {
    expect(() => generate({ mounts: [{ type: 'volume', target: '/v' }] })).toThrow('no directory given for the volume at /v')
    expect(() => generate({ init: true })).toThrow(expect.objectContaining({ code: 'ERR_PROGRAM_MISSING' }))
    const made = spec({ init: true }, { files: { ...NO_FILES, init: '/usr/bin/tini' } })
    expect(made.process?.args).toEqual(['/dev/podlib-init', '--', '/bin/sh'])
    expect(mount(made, '/dev/podlib-init')).toMatchObject({ source: '/usr/bin/tini', options: expect.arrayContaining(['ro']) })
  })
})

describe('namespaces', () => {
  test('are the container’s own by default, but for the user', () => {
    expect(namespaceTypes(spec())).toEqual(['cgroup', 'ipc', 'mount', 'network', 'pid', 'uts'])
  })

  test('of the host are left out', () => {
    expect(namespaceTypes(spec({ network: 'host', pid: 'host', ipc: 'host', uts: 'host', cgroup: 'host' }))).toEqual(['mount'])
    expect(spec({ uts: 'host' }).hostname).toBeUndefined()
  })

  test('that were made elsewhere are joined by path, and their hostname is left alone', () => {
    const joined = spec({}, { namespacePaths: { network: '/run/netns/x', uts: '/proc/3/ns/uts' } })
    expect(joined.linux?.namespaces).toEqual(expect.arrayContaining([{ type: 'network', path: '/run/netns/x' }]))
    expect(joined.hostname).toBeUndefined()
    expect(() => generate({ pid: { container: 'abc' } })).toThrow('no path given for the pid namespace of container abc')
  })
})

describe('what the host cannot give', () => {
  test('is left out with a warning', () => {
    const { spec: made, warnings } = generate(
      { memory: '1m', unified: { 'memory.high': '1' } },
      facts({ cgroupControllers: ['memory'], swapLimit: false, cgroupVersion: 1 }),
    )
    expect(made.linux?.resources).toMatchObject({ memory: { limit: 1048576 } })
    expect(made.linux?.resources?.memory?.swap).toBeUndefined()
    expect(made.linux?.resources).not.toHaveProperty('pids')
    expect(made.linux?.resources).not.toHaveProperty('unified')
    expect(warnings).toHaveLength(3)
  })

  test('of capabilities is told of when they were asked for by name', () => {
    const few = facts({ boundingCapabilities: ['CAP_CHOWN'] })
    expect(generate({ capAdd: ['SYS_TIME', 'CHOWN'] }, few).warnings).toEqual([
      'this process does not have CAP_SYS_TIME to hand on: left out',
    ])
    expect(generate({}, few).warnings).toEqual([])
  })

  test('clamps rlimits and the OOM score', () => {
    const limited = facts({ canLowerOomScoreAdj: false, currentOomScoreAdj: 100, hardRlimits: { RLIMIT_NOFILE: 1000 } })
    const { spec: made, warnings } = generate(
      { oomScoreAdj: -5, ulimits: { nofile: { soft: 2000, hard: 'unlimited' }, core: 'unlimited' } },
      limited,
    )
    const { process } = made
    expect(warnings).toEqual([
      'RLIMIT_NOFILE cannot be raised above 1000 without CAP_SYS_RESOURCE: that is its hard limit now',
      'the OOM score cannot be lowered to -5 without CAP_SYS_RESOURCE: it is 100',
    ])
    expect(process?.oomScoreAdj).toBe(100)
    expect(process?.rlimits).toEqual([
      { type: 'RLIMIT_NOFILE', soft: 1000, hard: 1000 },
      { type: 'RLIMIT_CORE', soft: RLIM_INFINITY, hard: RLIM_INFINITY },
    ])
    expect(spec({ oomScoreAdj: -5 }).process?.oomScoreAdj).toBe(-5)
  })
})

describe('devices', () => {
  const fuse = { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666 } as const
  const kvm = { path: '/dev/kvm', type: 'c', major: 10, minor: 232 } as const

  test('are denied but for those that were asked for', () => {
    const { linux } = spec({ devices: [{ path: '/dev/fuse', containerPath: '/dev/f', permissions: 'rw' }] }, { deviceNodes: [fuse] })
    expect(linux?.devices).toEqual([{ ...fuse, path: '/dev/f' }])
    expect(linux?.resources?.devices).toEqual([
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' },
    ])
    expect(spec().linux?.resources?.devices).toEqual([{ allow: false, access: 'rwm' }])
  })

  test('of the host are all there when privileged', () => {
    const { linux } = spec({ privileged: true }, { deviceNodes: [fuse, kvm, { path: '/dev/null', type: 'c', major: 1, minor: 3 }] })
    expect(linux?.devices?.map(({ path }) => path)).toEqual(['/dev/fuse', '/dev/kvm'])
    expect(linux?.resources?.devices).toEqual([{ allow: true, access: 'rwm' }])
  })

  test('are bind mounted where nodes cannot be made', () => {
    const made = spec({ devices: ['/dev/fuse'] }, { ...facts({ canCreateDeviceNodes: false }), deviceNodes: [fuse] })
    expect(mount(made, '/dev/fuse')).toMatchObject({ type: 'bind', source: '/dev/fuse' })
    expect(made.linux).toMatchObject({ devices: [] })
    expect(made.linux?.resources).not.toHaveProperty('devices')
  })

  test('must exist', () => {
    expect(() => generate({ devices: ['/dev/nope'] }, { deviceNodes: [fuse] })).toThrow('the host has no device at /dev/nope')
  })
})

describe('an exec', () => {
  const exec = (identity: Identity, options: object, container = {}) =>
    generateExecProcess({ config: resolve(container).config, options: { args: ['ls'], ...options }, identity, facts: FACTS })

  test('of root has what the container has; of others nothing', () => {
    expect(exec(ROOT, {}).capabilities?.effective).toHaveLength(11)
    expect(exec(USER, {}).capabilities).toMatchObject({ effective: [], inheritable: [], ambient: [] })
    expect(exec(ROOT, { privileged: true }).capabilities?.effective).toEqual(FACTS.boundingCapabilities)
  })

  test('adds to the container’s environment and has its own terminal', () => {
    const process = exec(ROOT, { env: ['A=2', 'container=x'], tty: true, cwd: '/w' }, { env: { A: '1' }, tty: false })
    expect(process).toMatchObject({ terminal: true, cwd: '/w', args: ['ls'] })
    expect(process.env).toEqual(expect.arrayContaining(['A=2', 'container=x', 'TERM=xterm', 'HOME=/root']))
    expect(exec(ROOT, {}, { tty: true }).terminal).toBe(false)
  })

  test('needs a command and proper entries', () => {
    expect(() => exec(ROOT, { args: [] })).toThrow('exec needs a command')
    expect(() => exec(ROOT, { env: ['HOST_SECRET'] })).toThrow('write NAME=value')
  })
})

test('hooks, annotations and the cgroup path are passed on', () => {
  const made = spec({ annotations: { a: '1' } }, { annotations: { b: '2' }, hooks: { poststop: [{ path: '/h' }] }, cgroupsPath: '' })
  expect(made).toMatchObject({ annotations: { a: '1', b: '2' }, hooks: { poststop: [{ path: '/h' }] } })
  expect(made.linux).not.toHaveProperty('cgroupsPath')
})

test('a seccomp profile that was named and not read is an error, never the default', () => {
  expect(() => generate({ seccomp: '/etc/own.json' })).toThrow('the seccomp profile /etc/own.json was not read')
  expect(spec({ seccomp: '/etc/own.json' }, { seccompProfile: { defaultAction: 'SCMP_ACT_LOG' } }).linux?.seccomp?.defaultAction).toBe(
    'SCMP_ACT_LOG',
  )
  expect(spec({ seccomp: 'unconfined' }).linux?.seccomp).toBeUndefined()
  expect(spec({ privileged: true }).linux?.seccomp).toBeUndefined()
})

test('the text has the exact digits of an unlimited rlimit, and reads back the same', () => {
  const made = spec({ ulimits: { core: 'unlimited' }, env: { X: '18446744073709552000' } })
  const text = serializeSpec(made)
  expect(text).toContain('"soft":18446744073709551615,"hard":18446744073709551615')
  expect(text).toContain('X=18446744073709552000')
  expect(JSON.parse(text)).toEqual(made)
})
