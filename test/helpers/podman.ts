import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { outputOf, runProgram } from './programs.ts'

/** podman with a store of its own, to compare with. It touches nothing of the podman of this machine. */
export interface Podman extends AsyncDisposable {
  readonly version: string
  /** Runs a command that must succeed. */
  run(...args: string[]): Promise<void>
  output(...args: string[]): Promise<string>
  /** Starts a command. */
  spawn(...args: string[]): ChildProcess
}

export interface PodmanOptions {
  readonly ociRuntime: 'crun' | 'runc'
  /** Where its store is made. @defaultValue a directory under the system's directory of temporary files */
  readonly parent?: string
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** Opens a podman. Disposing of it removes its containers and its store; twice does no harm. */
export async function openPodman({ ociRuntime, parent = tmpdir(), env: more = {} }: PodmanOptions): Promise<Podman> {
  const directory = await mkdtemp(join(parent, 'podman-'))
  // podman takes 50 characters at most for this one.
  const runRoot = await mkdtemp(join(parent, 'pm-'))
  const [root, config] = [join(directory, 'root'), join(directory, 'containers.conf')]
  await mkdir(join(directory, 'tmp'))
  await writeFile(config, containersConf(join(directory, 'tmp')))
  const env = { ...process.env, ...more, CONTAINERS_CONF: config, TMPDIR: join(directory, 'tmp') }
  const flags = ['--root', root, '--runroot', runRoot, '--runtime', ociRuntime]
  const run = (...args: string[]) => runProgram('podman', [...flags, ...args], { env })
  const output = (...args: string[]) => outputOf('podman', [...flags, ...args], { env })
  const version = (await output('version', '--format', '{{.Client.Version}}')).trim()
  let open = true
  const close = async () => {
    if (!open) return
    open = false
    await run('rm', '--all', '--force', '--time', '0')
    await run('system', 'reset', '--force').catch(() => {})
    await runProgram('umount', ['--recursive', '--quiet', '--lazy', join(root, 'overlay')]).catch(() => {})
    for (const path of [directory, runRoot]) await rm(path, { recursive: true, force: true })
  }
  const start = (...args: string[]) => spawn('podman', [...flags, ...args], { env, stdio: 'ignore' })
  return { version, run, output, spawn: start, [Symbol.asyncDispose]: close }
}

/**
 * By default podman asks for more open files and processes than a root without CAP_SYS_RESOURCE may give itself, and then
 * starts no container: these limits are low enough for everyone.
 */
function containersConf(directory: string): string {
  return `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "${directory}"
`
}
