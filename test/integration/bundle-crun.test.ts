import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { capabilitiesFromMask } from '../../src/bundle/capabilities.ts'
import type { CreateContainerOptions } from '../../src/bundle/container-options.ts'
import { type GenerateInput, generateSpec } from '../../src/bundle/generate.ts'
import type { HostFacts } from '../../src/bundle/host-facts.ts'
import { hostsFile } from '../../src/bundle/name-files.ts'
import { generateExecProcess } from '../../src/bundle/process.ts'
import { resolveContainerConfig } from '../../src/bundle/resolve-config.ts'
import { resolveUser } from '../../src/bundle/users.ts'
import { serializeSpec } from '../../src/spec/serialize-spec.ts'
import { validateRuntimeSpec } from '../../src/spec/validate-container.ts'
import { lacking } from '../helpers/abilities.ts'
import { FACTS, NO_FILES } from '../helpers/bundle.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const run = promisify(execFile)
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n'
const GROUP = 'root:x:0:\nann:x:1000:\naudio:x:29:ann\n'

const UNIFIED = lacking(['cgroup v2']).length === 0
const LIMIT_FILES = UNIFIED
  ? ['pids.max', 'memory.max', 'memory.swap.max', 'cpu.max']
  : ['pids/pids.max', 'memory/memory.limit_in_bytes', 'memory/memory.memsw.limit_in_bytes', 'cpu/cpu.cfs_quota_us']

let work: string
let rootfs: string
let facts: HostFacts
let counter = 0

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'podlib-bundle-'))
  rootfs = join(work, 'rootfs')
  for (const directory of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'run']) await mkdir(join(rootfs, directory), { recursive: true })
  await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const applet of ['sh', 'cat', 'id', 'grep', 'hostname', 'mount', 'ls', 'sleep', 'sysctl', 'env', 'chroot']) {
    await symlink('busybox', join(rootfs, 'bin', applet))
  }
  await writeFile(join(rootfs, 'etc/passwd'), PASSWD)
  await writeFile(join(rootfs, 'etc/group'), GROUP)
  const status = await readFile('/proc/self/status', 'utf8')
  facts = {
    ...FACTS,
    cgroupVersion: UNIFIED ? 2 : 1,
    boundingCapabilities: capabilitiesFromMask(/^CapBnd:\s*(\w+)/m.exec(status)?.[1] ?? ''),
    canLowerOomScoreAdj: false,
    thermalThrottlePaths: [],
  }
})

afterAll(() => rm(work, { recursive: true, force: true }))

describe.each(['crun', 'runc'] as const)('a generated config.json run by %s', (program) => {
  const test = (name: string, work: () => Promise<void>) => testNeeding(['root', program], name, work)

  async function start(options: CreateContainerOptions, rest: Partial<GenerateInput> = {}, user?: string): Promise<string> {
    const id = `podlib-bundle-${process.pid}-${program}-${counter++}`
    const { config } = resolveContainerConfig({ id: 'feedfacecafe0000', options: { ...options, ...(user !== undefined && { user }) } })
    const identity = resolveUser({
      user: config.process.user,
      groups: config.process.groups,
      passwd: Buffer.from(PASSWD),
      group: Buffer.from(GROUP),
    })
    const { spec } = generateSpec({ config, rootfsPath: rootfs, facts, identity, files: NO_FILES, cgroupsPath: `/${id}`, ...rest })
    const bundle = join(work, id)
    await mkdir(bundle)
    const text = serializeSpec(spec)
    validateRuntimeSpec(JSON.parse(text))
    await writeFile(join(bundle, 'config.json'), text)
    const { stdout } = await run(program, ['run', '--bundle', bundle, id])
    return stdout
  }
  const sh = (line: string, options: CreateContainerOptions = {}, rest: Partial<GenerateInput> = {}) =>
    start({ command: ['/bin/sh', '-c', line], ...options }, rest)

  test('root has the eleven default capabilities, none inheritable, and a seccomp filter', async () => {
    const status = await sh('grep -E "^(Cap|Seccomp:|NoNewPrivs)" /proc/self/status')
    const mask = '00000000800405fb'
    expect(fields(status)).toEqual({
      CapInh: '0000000000000000',
      CapPrm: mask,
      CapEff: mask,
      CapBnd: mask,
      CapAmb: '0000000000000000',
      NoNewPrivs: '0',
      Seccomp: '2',
    })
  })

  test('another user has none, and has the primary group among its groups', async () => {
    const output = await sh('grep -E "^Cap|^Groups" /proc/self/status; id', { user: 'ann' })
    expect(fields(output)).toMatchObject({ CapInh: '0000000000000000', CapEff: '0000000000000000', CapPrm: '0000000000000000' })
    expect(output).toContain('uid=1000(ann) gid=1000(ann) groups=')
    expect(fields(output).Groups?.split(' ').sort()).toEqual(['1000', '29'])
  })

  test('a capability that was asked for stays with another user', async () => {
    const status = await sh('grep ^Cap /proc/self/status', { user: '1000:1000', capAdd: ['net_raw'] })
    const netRaw = '0000000000002000'
    expect(fields(status)).toMatchObject({ CapEff: netRaw, CapInh: netRaw, CapAmb: netRaw })
  })

  test('what would show the host is masked, and kernel settings are read-only', async () => {
    const output = await sh(
      'for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do echo $f; cat $f; done; ls /sys/firmware; cat /proc/mounts',
    )
    expect(output).toContain('/proc/kcore\n/proc/keys\n/proc/timer_list\n/proc/interrupts\n')
    for (const path of ['/proc/sys', '/proc/irq', '/sys']) {
      expect(mountOptions(output, path)).toContain('ro')
    }
    await expect(sh('echo 1 > /proc/sys/kernel/panic')).rejects.toThrow()
  })

  test('limits reach the cgroup', async () => {
    const output = await sh(`cd /sys/fs/cgroup; cat ${LIMIT_FILES.join(' ')}`, {
      memory: '64m',
      pidsLimit: 77,
      cpus: 0.5,
      cgroup: 'private',
    })
    const [pids, memory, swap, cpu] = output.trim().split('\n')
    expect([pids, memory]).toEqual(['77', String(64 * 2 ** 20)])
    // v1 counts memory and swap together, v2 swap alone.
    expect(swap).toBe(String((UNIFIED ? 64 : 128) * 2 ** 20))
    expect(cpu).toMatch(/^50000(?: 100000)?$/)
  })

  test('without a limit of the caller there is one of 2048 processes', async () => {
    expect((await sh(`cat /sys/fs/cgroup/${LIMIT_FILES[0]}`, { cgroup: 'private' })).trim()).toBe('2048')
  })

  test('hostname, umask, working directory, environment and rlimits are as resolved', async () => {
    const output = await sh('hostname; umask; pwd; ulimit -n; ulimit -Hc; env', {
      hostname: 'box',
      umask: '0027',
      cwd: '/tmp',
      env: { LANG: 'C.UTF-8' },
      ulimits: { nofile: 333, core: { soft: 0, hard: 'unlimited' } },
    })
    expect(output.split('\n').slice(0, 5)).toEqual(['box', '0027', '/tmp', '333', 'unlimited'])
    expect(output).toMatch(/^HOSTNAME=box$/m)
    expect(output).toMatch(/^HOME=\/root$/m)
    expect(output).toMatch(/^container=podlib$/m)
    expect(output).toMatch(/^LANG=C.UTF-8$/m)
  })

  test('a read-only root file system has memory where programs must write', async () => {
    const output = await sh(
      'touch /bin/x 2>/dev/null && echo written; echo 1 > /tmp/x && echo tmp; echo 1 > /run/x && echo run; cat /proc/mounts',
      {
        readOnly: true,
      },
    )
    expect(output).not.toContain('written')
    expect(output).toContain('tmp\nrun\n')
    expect(mountOptions(output, '/')).toContain('ro')
  })

  test('mounts of the caller, files and volumes are where they belong', async () => {
    const hosts = join(work, 'hosts')
    const data = join(work, 'data')
    await mkdir(data, { recursive: true })
    await writeFile(join(data, 'seen'), 'volume\n')
    await writeFile(hosts, hostsFile({ names: ['box'], addresses: [], extraHosts: { db: '10.0.0.7' } }))
    const output = await sh(
      'cat /etc/hosts /vol/seen; cat /proc/mounts',
      {
        mounts: [
          { type: 'volume', name: 'v', target: '/vol' },
          { type: 'bind', source: data, target: '/in', readOnly: true },
          { type: 'tmpfs', target: '/scratch', size: '1m', mode: '700' },
        ],
        shmSize: '2m',
      },
      { files: { ...NO_FILES, hosts, volumes: { '/vol': data } } },
    )
    expect(output).toContain('10.0.0.7\tdb')
    expect(output).toContain('volume\n')
    expect(mountOptions(output, '/in')).toContain('ro')
    expect(mountOptions(output, '/scratch')).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev', 'size=1024k', 'mode=700']))
    expect(mountOptions(output, '/dev/shm')).toEqual(expect.arrayContaining(['nosuid', 'noexec', 'nodev', 'size=2048k']))
  })

  test('a privileged container has what the host process has, and nothing is masked', async () => {
    const output = await sh('grep -E "^(CapEff|Seccomp):" /proc/self/status; cat /proc/mounts', { privileged: true })
    const own = /^CapBnd:\s*(\w+)/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1]
    expect(fields(output)).toMatchObject({ CapEff: own, Seccomp: '0' })
    expect(mountOptions(output, '/sys')).toContain('rw')
    expect(output).not.toContain(' /proc/kcore ')
  })

  test('network none is loopback alone; sysctls of the own namespaces are set', async () => {
    const output = await sh('ls /sys/class/net; sysctl -n net.ipv4.ip_forward kernel.msgmax', {
      network: 'none',
      sysctls: { 'net.ipv4.ip_forward': '1', 'kernel.msgmax': '4321' },
    })
    expect(output).toBe('lo\n1\n4321\n')
  })

  test('host namespaces are the host’s', async () => {
    const output = await sh('hostname; ls /proc | grep -c "^[0-9]"', {
      network: 'host',
      pid: 'host',
      uts: 'host',
      ipc: 'host',
      cgroup: 'host',
    })
    const [hostname, processes] = output.trim().split('\n')
    expect(hostname).toBe((await readFile('/proc/sys/kernel/hostname', 'utf8')).trim())
    expect(Number(processes)).toBeGreaterThan(5)
  })

  test('a user namespace maps the container’s root elsewhere', async () => {
    await run('chmod', ['0755', work])
    const range = { containerId: 0, hostId: 200000, size: 65536 }
    const output = await sh('cat /proc/self/uid_map; id -u', { userNamespace: { uids: [range], gids: [range] } })
    expect(output.trim().split(/\s+/)).toEqual(['0', '200000', '65536', '0'])
  })

  test('exec has the container’s capabilities for root and none for others', async () => {
    const id = `podlib-bundle-${process.pid}-${program}-exec`
    const { config } = resolveContainerConfig({ id: 'feedfacecafe0000', options: { command: ['/bin/sleep', '60'] } })
    const identity = (user: string) => resolveUser({ user, passwd: Buffer.from(PASSWD), group: Buffer.from(GROUP) })
    const { spec } = generateSpec({ config, rootfsPath: rootfs, facts, identity: identity(''), files: NO_FILES, cgroupsPath: `/${id}` })
    const bundle = join(work, id)
    await mkdir(bundle)
    await writeFile(join(bundle, 'config.json'), serializeSpec(spec))
    const exec = async (user: string) => {
      const process = generateExecProcess({
        config,
        identity: identity(user),
        facts,
        options: { args: ['/bin/sh', '-c', 'grep -E "^(Cap(Eff|Inh)|Seccomp):" /proc/self/status; id -u; echo $X'], env: ['X=y'] },
      })
      await writeFile(join(bundle, 'process.json'), serializeSpec(process))
      return (await run(program, ['exec', '--process', join(bundle, 'process.json'), id])).stdout
    }
    // The container would hold pipes of ours open.
    const [code] = await once(spawn(program, ['run', '--detach', '--bundle', bundle, id], { stdio: 'ignore' }), 'exit')
    expect(code).toBe(0)
    try {
      expect(await exec('0')).toBe('CapInh:\t0000000000000000\nCapEff:\t00000000800405fb\nSeccomp:\t2\n0\ny\n')
      expect(await exec('ann')).toBe('CapInh:\t0000000000000000\nCapEff:\t0000000000000000\nSeccomp:\t2\n1000\ny\n')
    } finally {
      await run(program, ['delete', '--force', id])
    }
  })
})

function fields(status: string): Record<string, string> {
  return Object.fromEntries([...status.matchAll(/^(\w+):\s*(.*?)\s*$/gm)].map(([, name, value]) => [name, value]))
}

function mountOptions(text: string, target: string): string[] {
  const line = text.split('\n').find((entry) => entry.split(' ')[1] === target)
  return line?.split(' ')[3]?.split(',') ?? []
}
