import { spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const ids = [{ containerId: 0, hostId: 200_000, size: 65_536 }]
const userNamespace = { uids: ids, gids: ids }

describe.each(['crun', 'runc'] as const)('a container with a user namespace of its own, with %s', (ociRuntime) => {
  const it = (name: string, work: () => Promise<void>) => testNeeding([...RUNTIME_NEEDS, ociRuntime, 'user namespaces'], name, work)
  let store: RuntimeStore
  let runtime: Runtime

  beforeAll(async () => {
    store = await lab.store({ ociRuntime })
    // Like /run: others may pass through.
    chmodSync(store.directory, 0o711)
    runtime = await store.open()
  })

  it('finds the files of its image owned by its own root, and can change them', async () => {
    const look =
      'stat -c "%u %g %n" / /bin/busybox /etc/passwd /etc/hosts; echo x >> /etc/passwd; touch /mine; stat -c "%u %g %n" /mine /etc/passwd'
    const { stdout, stderr } = await runtime.run(SMALL, ['sh', '-c', look], { userNamespace })
    expect([stdout, stderr]).toEqual(['0 0 /\n0 0 /bin/busybox\n0 0 /etc/passwd\n0 0 /etc/hosts\n0 0 /mine\n0 0 /etc/passwd\n', ''])
  })

  it('leaves nothing mounted when its bundle cannot be made', async () => {
    // The image's users are known from the test before: the failure comes while the root file system is being mounted.
    const seccomp = join(store.directory, 'no-profile.json')
    for (const monitor of [false, true]) {
      const error = await failure(runtime.run(SMALL, ['true'], { userNamespace, seccomp, monitor }))
      expect(error.message).toContain(seccomp)
    }
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(store.runRoot)
  })

  it('is nobody on the host, under a monitor too, and keeps what it wrote', async () => {
    const container = await runtime.containers.run({
      image: SMALL,
      command: ['sh', '-c', 'echo life >> /lives; while true; do sleep 0.1; done'],
      userNamespace,
    })
    for (const lives of ['life\n', 'life\nlife\n']) {
      const info = await container.inspect()
      const status = readFileSync(`/proc/${'pid' in info ? info.pid : 0}/status`, 'utf8')
      expect(/^Uid:\s+(\d+)/m.exec(status)?.[1]).toBe('200000')
      expect(await container.exec(['sh', '-c', 'id -u; cat /lives'])).toMatchObject({ stdout: `0\n${lives}`, stderr: '' })
      expect(statSync(join(store.root, 'containers', container.id, 'upper', 'lives'))).toMatchObject({ uid: 200_000, gid: 200_000 })
      await container.stop({ timeoutMs: 0 })
      await container.start()
    }
    await container.remove({ force: true })
  })

  it('lets a process in that comes before its program', async () => {
    // So little of the CPU that the OCI runtime is still at work in the container when its start returns.
    const container = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'], userNamespace, cpus: 0.02 })
    expect(await container.exec(['echo', 'in'])).toMatchObject({ exitCode: 0, stdout: 'in\n', stderr: '' })
    await container.remove({ force: true })
  })

  it('opens no way for other users into the store or into any container', async () => {
    const start = (more: object) => runtime.containers.run({ image: SMALL, command: ['sleep', '1000'], ...more })
    const [mapped, plain] = [await start({ userNamespace }), await start({})]
    const asNobody = (path: string) => spawnSync('stat', [path], { uid: 65_534, gid: 65_534 }).status
    expect(asNobody(store.directory)).toBe(0)
    for (const { id } of [mapped, plain]) expect(asNobody(join(store.runRoot, 'mounts', id, 'merged', 'bin'))).not.toBe(0)
    for (const name of readdirSync(store.runRoot).filter((one) => one !== 'mounts')) {
      expect([name, statSync(join(store.runRoot, name)).mode & 0o077]).toEqual([name, 0])
    }
    expect(statSync(store.root).mode & 0o077).toBe(0)
    await Promise.all([mapped, plain].map((container) => container.remove({ force: true })))
  })

  it('says which directory is in its way', async () => {
    const closed = await lab.store({ ociRuntime })
    const other = await closed.open()
    const error = await failure(other.run(SMALL, ['true'], { userNamespace }))
    expect(error).toMatchObject({ code: 'ERR_ID_MAPPING_UNSUPPORTED', details: { path: closed.directory, uid: 200_000 } })
    expect(await other.containers.list()).toEqual([])
  })
})
