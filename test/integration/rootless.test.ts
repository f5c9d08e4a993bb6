import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { lgetxattr } from '../../src/host/sys/libc.ts'
import { type Ability, lacking } from '../helpers/abilities.ts'
import { BINARY_XATTR } from '../helpers/owners-image.ts'
import { failure } from '../helpers/registry-world.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { eventually } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import type { UserSession } from '../helpers/unprivileged-user.ts'

const lab = rootlessLab()
const list = (path: string) => (existsSync(path) ? readdirSync(path) : [])
const SLEEP = ['sleep', '1000']

describe.each(['crun', 'runc'] as const)('without privilege, with %s', (ociRuntime) => {
  const needs: Ability[] = [...ROOTLESS_NEEDS, ociRuntime]
  const it = (name: string, work: () => Promise<void>) => testNeeding(needs, name, work)
  let session: UserSession
  const run = async (script: string, options = {}) => (await session.call('run', lab().small, ['sh', '-c', script], options)).stdout

  beforeAll(async () => {
    if (lacking(needs).length > 0) return
    session = lab().user.session()
    await session.call('open', { ...lab().options, ociRuntime })
    await session.call('pull', lab().small)
  })

  afterAll(async () => {
    if (lacking(needs).length > 0) return
    expect(await session.call('list')).toEqual([])
    await session.call('removeImage', lab().small)
    await session.call('close')
    for (const path of ['layers', 'containers', 'staging']) expect(list(join(lab().root, path))).toEqual([])
    for (const path of ['bundles', 'mounts', 'io', 'exits', 'persist', 'pause.json']) expect(list(join(lab().runRoot, path))).toEqual([])
    await eventually(() =>
      expect(
        lab()
          .user.processes()
          .map(({ pid }) => pid),
      ).toEqual([session.pid]),
    )
    await session.end()
  })

  it('a runtime says what it can', async () => {
    const { host, root, runRoot } = await session.call('info')
    expect(host).toMatchObject({ rootless: true, userIds: 65537 })
    expect({ root, runRoot }).toEqual({ root: lab().root, runRoot: lab().runRoot })
  })

  it('a container runs, as a child and under a monitor', async () => {
    const script = 'echo out; echo err >&2; cat; exit 3'
    const warnings = ['the cgroup controller pids is not available: its limits are left out']
    const result = { exitCode: 3, signal: null, oomKilled: false, stderr: 'err\n', warnings }
    const attached = await session.call('run', lab().small, ['sh', '-c', script], { input: 'in\n' })
    expect(attached).toEqual({ ...result, stdout: 'out\nin\n' })
    const monitored = await session.call('run', lab().small, ['sh', '-c', script], { monitor: true })
    expect(monitored).toEqual({ ...result, stdout: 'out\n' })
  })

  it('a container lives: start, exec, logs, stop, start, remove', async () => {
    const id = await session.call('start', {
      image: lab().small,
      command: ['sh', '-c', 'trap "exit 7" TERM; echo begun; while true; do sleep 0.05; done'],
    })
    expect(await session.call('inspect', id)).toMatchObject({ status: 'running' })
    expect(await session.call('exec', id, ['cat'], { input: 'through' })).toMatchObject({ exitCode: 0, stdout: 'through' })
    expect(await session.call('exec', id, ['sh', '-c', 'id -u; id -g'], { user: '1000:50' })).toMatchObject({ stdout: '1000\n50\n' })
    await eventually(async () => expect(await session.call('logs', id)).toEqual(['stdout: begun']))
    await session.call('stop', id)
    expect(await session.call('wait', id)).toMatchObject({ exitCode: 7 })
    expect(await session.call('inspect', id)).toMatchObject({ status: 'exited' })
    await session.call('remove', id)
  })

  it('a container without a cgroup has no statistics and cannot be paused, and says why', async () => {
    const { host } = await session.call('info')
    if (host.cgroupControllers.length > 0) return
    const id = await session.call('start', { image: lab().small, command: SLEEP, memory: '64m', cpus: 0.5, pidsLimit: 100 })
    expect(await failure(session.call('stats', id))).toMatchObject({ code: 'ERR_CGROUP' })
    expect(await failure(session.call('pause', id))).toMatchObject({ code: 'ERR_CGROUP' })
    expect(await session.call('inspect', id)).toMatchObject({ status: 'running' })
    await session.call('remove', id)
    const shown = await run('ls -A /sys/fs/cgroup | wc -l')
    if (host.cgroupVersion === 1) expect(shown).toBe('0\n')
  })

  it('a container that shares the host’s processes takes all of its own along', async () => {
    const command = ['sh', '-c', 'trap "" TERM; (setsid sleep 1000 &) ; sleep 1000 & while true; do sleep 0.1; done']
    const id = await session.call('start', { image: lab().small, command, pid: 'host' })
    const sleeping = () =>
      lab()
        .user.processes()
        .filter((process) => process.command === 'sleep 1000')
    await eventually(() => expect(sleeping()).toHaveLength(2))
    await session.call('stop', id, { timeoutMs: 100 })
    expect(await session.call('wait', id)).toMatchObject({ exitCode: 137 })
    await eventually(() => expect(sleeping()).toEqual([]))
    await session.call('remove', id)
  })

  it('a network is none or the host’s', async () => {
    expect(await run('ls /sys/class/net', { network: 'none' })).toBe('lo\n')
    const devices = readdirSync('/sys/class/net').sort().join('\n')
    expect(await run('ls /sys/class/net; touch /sys/x 2>/dev/null || echo closed', { network: 'host' })).toBe(`${devices}\nclosed\n`)
  })

  it('devices, terminals and message queues are there', async () => {
    expect(await run('echo x > /dev/null && head -c 2 /dev/zero | wc -c; ls -d /dev/mqueue /dev/shm /dev/pts/ptmx')).toBe(
      '2\n/dev/mqueue\n/dev/pts/ptmx\n/dev/shm\n',
    )
    expect(await run('grep /dev/pts /proc/self/mounts')).toContain(`gid=${lab().user.firstSubordinate + 4},`)
    expect(await run('ls /dev/shm > /dev/null && echo shared', { ipc: 'host' })).toBe('shared\n')
  })

  it('a user of the container is another user of the host', async () => {
    expect(await run('id -u; id -g; touch /x 2>/dev/null || echo refused', { user: '1000:1000' })).toBe('1000\n1000\nrefused\n')
    const { firstSubordinate, home, uid } = lab().user
    const shared = join(home, `shared-${ociRuntime}`)
    mkdirSync(shared)
    chownSync(shared, uid, uid)
    chmodSync(shared, 0o777)
    const mounts = [{ type: 'bind', source: shared, target: '/shared' }]
    await run('touch /shared/root; chown 0:50 /shared/root', { mounts })
    await run('touch /shared/user', { mounts, user: '1000:1000' })
    expect(lstatSync(join(shared, 'root'))).toMatchObject({ uid, gid: firstSubordinate + 49 })
    expect(lstatSync(join(shared, 'user'))).toMatchObject({ uid: firstSubordinate + 999, gid: firstSubordinate + 999 })
    expect(await run('stat -c %u:%g /shared/root /shared/user', { mounts })).toBe('0:50\n1000:1000\n')
    writeFileSync(join(shared, 'of-real-root'), 'x')
    expect(await run('stat -c %u /shared/of-real-root; echo y > /shared/of-real-root || echo refused', { mounts })).toBe('65534\nrefused\n')
  })

  it('an id that is not mapped is refused by its number', async () => {
    const error = await failure(session.call('run', lab().small, ['true'], { user: '65537' }))
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', details: { user: 65537 } })
  })

  it('what needs more privilege than there is, is less: OOM score, rlimits, devices of a privileged container', async () => {
    expect(Number(await run('cat /proc/self/oom_score_adj', { oomScoreAdj: -900 }))).toBeGreaterThanOrEqual(0)
    expect(await run('ulimit -n', { ulimits: { nofile: 2 ** 30 } })).toMatch(/^\d+\n$/)
    expect(
      await run('mount -t tmpfs none /mnt 2>&1 || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted', { privileged: true }),
    ).toContain('mounted')
    expect(await run('mount -t tmpfs none /tmp 2>/dev/null || echo refused')).toBe('refused\n')
  })

  it('an image with files of many owners is unpacked, seen and removed as it is', async () => {
    const { firstSubordinate, uid } = lab().user
    await session.call('pull', lab().owners)
    const see = async (script: string) => (await session.call('run', lab().owners, ['sh', '-c', script])).stdout.trim().split('\n')
    expect(
      await see(
        'cd /srv; stat -c "%n %u:%g %a" root user mixed last setuid setgid link fifo private private/closed private/closed/file sticky',
      ),
    ).toEqual([
      'root 0:0 600',
      'user 1000:1000 640',
      'mixed 1000:0 640',
      'last 65535:65535 644',
      'setuid 0:0 4755',
      'setgid 1000:50 2755',
      'link 1000:1000 640',
      'fifo 1000:1000 600',
      'private 1000:1000 700',
      'private/closed 1000:1000 0',
      'private/closed/file 1000:1000 0',
      'sticky 0:0 1777',
    ])
    expect(await see('cat /srv/private/closed/file; echo; ls /etc/os-release /srv/device 2>&1 | grep -c "No such"; ls /home')).toEqual([
      'nobody reads this',
      '2',
      'new',
    ])
    const layer = list(join(lab().root, 'layers'))
      .map((name) => join(lab().root, 'layers', name, 'fs/srv'))
      .find((path) => existsSync(path)) as string
    expect(lstatSync(join(layer, 'root'))).toMatchObject({ uid, gid: uid })
    expect(lstatSync(join(layer, 'setgid'))).toMatchObject({ uid: firstSubordinate + 999, gid: firstSubordinate + 49, mode: 0o102755 })
    expect(lstatSync(join(layer, 'last'))).toMatchObject({ uid: firstSubordinate + 65534 })
    expect(lgetxattr(join(layer, 'marked'), 'user.podlib')).toEqual(BINARY_XATTR)
    // Revision 3 of a capability names the root that it is good for: that of the user namespace.
    const capability = lgetxattr(join(layer, 'marked'), 'security.capability') as Buffer
    expect([capability.readUInt32LE(0) >>> 24, capability.readUInt32LE(20)]).toEqual([3, uid])
    expect(lgetxattr(join(layer, '../home'), 'user.overlay.opaque')).toEqual(Buffer.from('y'))
    await session.call('removeImage', lab().owners)
    expect(existsSync(layer)).toBe(false)
  })

  it('what a container wrote as others is removed with it', async () => {
    const command = [
      'sh',
      '-c',
      'mkdir -p /deep/er; echo x > /deep/er/file; chmod 0 /deep/er /deep; chown -R 1000:1000 /deep; rm /bin/ls; exec sleep 1000',
    ]
    const id = await session.call('start', { image: lab().small, command })
    const upper = join(lab().root, 'containers', id, 'upper')
    await eventually(() => expect(lstatSync(join(upper, 'deep')).uid).toBe(lab().user.firstSubordinate + 999))
    // A whiteout, which the kernel made.
    await eventually(() => expect(lstatSync(join(upper, 'bin/ls'))).toMatchObject({ rdev: 0 }))
    await session.call('remove', id)
    expect(list(join(lab().root, 'containers'))).toEqual([])
  })
})
