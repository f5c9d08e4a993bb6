import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { AttachedProcess } from '../../src/host/attached-process.ts'
import { readCgroupLayout } from '../../src/host/cgroup.ts'
import type { ExitStatus } from '../../src/host/exit-status.ts'
import type { Host } from '../../src/host/host.ts'
import { openHost } from '../../src/host/open-host.ts'
import { findProgram } from '../../src/host/programs.ts'
import { removeCgroup } from '../../src/host/remove-cgroup.ts'
import { createConmon } from '../../src/monitor/conmon/conmon.ts'
import type { Monitor } from '../../src/monitor/monitor.ts'
import { createCrun } from '../../src/oci-runtime/crun.ts'
import type { OciRuntime } from '../../src/oci-runtime/oci-runtime.ts'
import { createRunc } from '../../src/oci-runtime/runc.ts'
import type { RuntimeSpec, SpecProcess, SpecSeccomp } from '../../src/spec/runtime.ts'

const APPLETS = [
  'sh',
  'tr',
  'cat',
  'dd',
  'echo',
  'env',
  'grep',
  'head',
  'id',
  'kill',
  'ls',
  'ps',
  'seq',
  'sleep',
  'tail',
  'true',
  'wc',
  'yes',
]

/** A profile small enough to read and with one visible effect: `mkdir` fails with EBUSY. */
export const NO_MKDIR: SpecSeccomp = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 16 }],
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Runtimes, a monitor and a root file system in a directory of their own. */
export class OciLab {
  readonly directory = mkdtempSync(join(tmpdir(), 'podlib-oci-'))
  readonly rootfs = join(this.directory, 'rootfs')
  readonly io = join(this.directory, 'io')
  readonly exits = join(this.directory, 'exits')
  readonly host: Host
  readonly monitor: Monitor
  readonly #prefix = basename(this.directory).replaceAll(/[^A-Za-z0-9]/g, '')
  readonly cgroupParent = `/podlib-test-${this.#prefix}`
  readonly #runtimes = new Map<string, OciRuntime>()
  readonly #made: { id: string; runtime: OciRuntime }[] = []
  #counter = 0

  private constructor(host: Host) {
    this.host = host
    makeRootfs(this.rootfs)
    for (const directory of [this.io, this.exits]) mkdirSync(directory)
    this.monitor = createConmon({
      host,
      path: findProgram('conmon', { path: PATH }),
      exits: this.exits,
      persist: join(this.directory, 'persist'),
      env: { PATH },
    })
  }

  static async open(): Promise<OciLab> {
    const user = { name: 'root', uid: 0, gid: 0 }
    const { NODE_COMPILE_CACHE } = process.env
    const env = { PATH, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }) }
    return new OciLab(await openHost({ runRoot: tmpdir(), user, env, exclusively: (work) => work() }))
  }

  runtime(name: 'crun' | 'runc'): OciRuntime {
    const known = this.#runtimes.get(name)
    if (known) return known
    const create = name === 'crun' ? createCrun : createRunc
    const path = findProgram(name, { path: PATH })
    const options = { host: this.host, path, stateDirectory: join(this.directory, 'oci'), cacheDirectory: join(this.directory, 'cache') }
    const runtime = create({ ...options, cgroupManager: 'cgroupfs', env: { PATH } })
    this.#runtimes.set(name, runtime)
    return runtime
  }

  /** An id and a bundle directory for one container, which is gone when the lab closes. */
  container(runtime: OciRuntime): { id: string; bundle: string; log: string; cgroup: string } {
    const id = `${this.#prefix}x${++this.#counter}`
    const bundle = join(this.directory, id)
    mkdirSync(bundle)
    this.#made.push({ id, runtime })
    return { id, bundle, log: join(bundle, 'log'), cgroup: `${this.cgroupParent}/${id}` }
  }

  spec(args: readonly string[], change: (spec: RuntimeSpec) => void = () => {}): RuntimeSpec {
    const namespaces = (['pid', 'network', 'ipc', 'uts', 'mount'] as const).map((type) => ({ type }))
    const spec: RuntimeSpec = {
      ociVersion: '1.0.2',
      process: this.process(args),
      root: { path: this.rootfs },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=1777'] },
      ],
      linux: { namespaces, resources: { devices: [{ allow: false, access: 'rwm' }] } },
    }
    change(spec)
    return spec
  }

  process(args: readonly string[], uid = 0): SpecProcess {
    return { terminal: false, user: { uid, gid: uid }, args: [...args], env: ['PATH=/bin'], cwd: '/', noNewPrivileges: true }
  }

  async close(): Promise<void> {
    for (const { id, runtime } of this.#made) await runtime.delete(id, { force: true })
    await this.host.close()
    rmSync(this.directory, { recursive: true, force: true })
    const layout = readCgroupLayout()
    // A runtime that was killed half-way leaves its cgroups; by default one is named after the container, with runc below its own.
    const parents = new Set(['', this.cgroupParent, ...ownCgroups()])
    for (const { id } of this.#made) for (const parent of parents) await removeCgroup(layout, join(parent, id))
    await removeCgroup(layout, this.cgroupParent)
  }
}

/** Where this process is, in each hierarchy. */
function ownCgroups(): string[] {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')
  return lines.map((line) => line.split(':').slice(2).join(':'))
}

function makeRootfs(rootfs: string): void {
  for (const name of ['bin', 'dev', 'etc', 'proc', 'tmp']) mkdirSync(join(rootfs, name), { recursive: true })
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const applet of APPLETS) symlinkSync('busybox', join(rootfs, 'bin', applet))
  writeFileSync(join(rootfs, 'not-executable'), 'text\n')
  writeFileSync(join(rootfs, 'not-a-program'), 'text\n')
  chmodSync(join(rootfs, 'not-a-program'), 0o755)
}

export interface Collected<Exit> {
  readonly exit: Exit
  readonly stdout: Buffer
  readonly stderr: string
}

/** Waits for the end of a process and of its output. */
export async function collect<Exit extends ExitStatus>(process: AttachedProcess<Exit>): Promise<Collected<Exit>> {
  const [exit, stdout, stderr] = await Promise.all([process.exited, readAll(process.stdout), readAll(process.stderr)])
  process.stdin?.destroy()
  return { exit, stdout, stderr: stderr.toString() }
}

async function readAll(stream: Readable | undefined): Promise<Buffer> {
  const chunks: Buffer[] = []
  if (stream) for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
