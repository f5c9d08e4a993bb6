import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect } from '@jest/globals'
import { listProcesses } from '../../src/host/proc.ts'
import type { ExecRequest, OciRuntime, RunRequest } from '../../src/oci-runtime/oci-runtime.ts'
import type { RuntimeSpec } from '../../src/spec/runtime.ts'
import { collect, NO_MKDIR, OciLab } from '../helpers/oci-lab.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { until } from '../helpers/until.ts'

/** Command lines of processes that contain a text. */
function processesWith(text: string): string[] {
  const commandLine = (pid: number): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    } catch {
      return ''
    }
  }
  return listProcesses()
    .map(({ pid }) => commandLine(pid))
    .filter((line) => line.includes(text))
}

type RunExtras = Partial<RunRequest> & { readonly change?: (spec: RuntimeSpec) => void }

/** What every OCI runtime must do for podlib. */
export function ociRuntimeContract(name: 'crun' | 'runc'): void {
  let lab: OciLab
  let runtime: OciRuntime
  beforeAll(async () => {
    lab = await OciLab.open()
    runtime = lab.runtime(name)
  })
  afterAll(() => lab.close())
  const test = (title: string, work: () => Promise<void>) => testNeeding(['root', 'conmon', name], title, work)

  async function run(args: readonly string[], { change, ...request }: RunExtras = {}) {
    const { id, bundle } = lab.container(runtime)
    const spec = await runtime.prepareSpec(id, lab.spec(args, change))
    return runtime.run({ id, bundle, spec, ioDirectory: lab.io, stdout: 'pipe', stderr: 'pipe', ...request })
  }

  async function startSleeping(args: readonly string[] = ['/bin/sleep', '1000']) {
    const { id, bundle, cgroup } = lab.container(runtime)
    const spec = lab.spec(args, ({ linux }) => Object.assign(linux ?? {}, { cgroupsPath: cgroup }))
    const { pid } = await lab.monitor.create({
      id,
      name: id,
      bundle,
      spec: JSON.stringify(spec),
      runtime: runtime.command,
      log: ['--log-path', 'none'],
    })
    await runtime.start(id)
    return { id, pid, cgroup }
  }

  const exec = (id: string, args: readonly string[], request: Partial<ExecRequest> = {}) =>
    runtime.exec({ id, ioDirectory: lab.io, process: lab.process(args), stdout: 'pipe', stderr: 'pipe', ...request })

  test('tells its version', async () => {
    expect(await runtime.version()).toMatch(new RegExp(`^${name} version \\d`))
  })

  test('runs a program to its end and gives its exit code and output', async () => {
    const { exit, stdout, stderr } = await collect(await run(['/bin/sh', '-c', 'echo out; echo err >&2; exit 7']))
    expect(exit).toEqual({ exitCode: 7, exitSignal: null, timedOut: false, oomKilled: false })
    expect([stdout.toString(), stderr]).toEqual(['out\n', 'err\n'])
  })

  test('lets a program open its own standard streams', async () => {
    const { stdout, stderr } = await collect(await run(['/bin/sh', '-c', 'echo a > /proc/self/fd/1; echo b > /proc/self/fd/2']))
    expect([stdout.toString(), stderr]).toEqual(['a\n', 'b\n'])
  })

  test('leaves no file for the streams and nothing of the container', async () => {
    await collect(await run(['/bin/true']))
    expect(readdirSync(lab.io)).toEqual([])
    const state = join(lab.directory, 'oci', name)
    expect(existsSync(state) ? readdirSync(state).filter((id) => id.startsWith('podlib')) : []).toEqual([])
  })

  test('tells a death by signal from an exit', async () => {
    const script = 'sh -c "kill -KILL \\$\\$"; exit $?'
    expect((await collect(await run(['/bin/sh', '-c', script]))).exit).toMatchObject({ exitCode: 137, exitSignal: 'SIGKILL' })
  })

  for (const [program, code] of [
    ['/bin/nothing', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['nothing', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['/not-executable', 'ERR_OCI_RUNTIME_PERMISSION'],
  ] as const) {
    test(`rejects a run of ${program} with ${code}`, async () => {
      const process = await run([program])
      process.stdout?.resume()
      process.stderr?.resume()
      await expect(process.exited).rejects.toMatchObject({ code })
    })
  }

  test('gives standard input to a program, and its end', async () => {
    const process = await run(['/bin/cat'], { stdin: 'pipe' })
    process.stdin?.end('to the container and back')
    expect((await collect(process)).stdout.toString()).toBe('to the container and back')
  })

  test('passes 32 MB of any bytes through both ways unchanged', async () => {
    const sent = randomBytes(32 * 2 ** 20)
    const process = await run(['/bin/cat'], { stdin: 'pipe' })
    process.stdin?.end(sent)
    const { stdout, exit } = await collect(process)
    expect(exit.exitCode).toBe(0)
    expect(stdout.equals(sent)).toBe(true)
  })

  test('makes a program wait for a reader that takes its time', async () => {
    const process = await run(['/bin/sh', '-c', 'yes | dd bs=64k count=800 iflag=fullblock 2>/dev/null; echo done >&2'])
    let done = false
    process.stderr?.once('data', () => {
      done = true
    })
    await delay(300)
    expect(done).toBe(false)
    const { stdout } = await collect(process)
    expect(stdout.length).toBe(800 * 65_536)
  })

  test('kills a run that takes too long, with all its processes', async () => {
    const process = await run(['/bin/sh', '-c', 'sleep 77771 & sleep 77772'], { timeoutMs: 300 })
    expect((await collect(process)).exit).toMatchObject({ timedOut: true, exitSignal: 'SIGKILL' })
    expect(processesWith('7777')).toEqual([])
  })

  test('kills a run that is aborted and settles only then', async () => {
    const controller = new AbortController()
    const process = await run(['/bin/sleep', '1000'], { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(process.exited).rejects.toThrow('enough')
    process.stdout?.destroy()
    process.stderr?.destroy()
  })

  test('does not begin a run that was aborted before', async () => {
    await expect(run(['/bin/true'], { signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late')
    expect(readdirSync(lab.io)).toEqual([])
  })

  testNeeding(['root', name, 'cgroup v1'], 'tells that a program was killed for want of memory', async () => {
    const cgroup = `${lab.cgroupParent}/oom-${name}`
    const limit = (spec: RuntimeSpec) => {
      Object.assign(spec.linux ?? {}, { cgroupsPath: cgroup })
      Object.assign(spec.linux?.resources ?? {}, { memory: { limit: 32 * 2 ** 20, swap: 32 * 2 ** 20 } })
    }
    const memoryCgroup = `/sys/fs/cgroup/memory${cgroup}`
    const hungry = await collect(await run(['/bin/tail', '/proc/self/fd/0'], { stdin: 'ignore', change: limit, memoryCgroup }))
    expect(hungry.exit.oomKilled).toBe(false)
    const process = await run(['/bin/dd', 'if=/dev/zero', 'of=/dev/null', 'bs=200M', 'count=1'], { change: limit, memoryCgroup })
    expect((await collect(process)).exit).toMatchObject({ oomKilled: true, exitSignal: 'SIGKILL' })
  })

  test('applies a seccomp profile, the first time and later', async () => {
    const change = ({ linux }: RuntimeSpec) => Object.assign(linux ?? {}, { seccomp: NO_MKDIR })
    for (let round = 0; round < 3; round++) {
      const { stdout } = await collect(
        await run(['/bin/sh', '-c', 'busybox mkdir /tmp/x 2>&1; grep Seccomp /proc/self/status'], { change }),
      )
      expect(stdout.toString()).toMatch(/busy[\s\S]*Seccomp:\s*2\nSeccomp_filters:\s*1\n/)
    }
  })

  test('takes no orders from annotations', async () => {
    const spec = lab.spec(['/bin/true'], (made) =>
      Object.assign(made, { annotations: { 'run.oci.seccomp_bpf_data': 'AAAA', harmless: 'yes' } }),
    )
    expect((await runtime.prepareSpec('any', spec)).annotations).toEqual({ harmless: 'yes' })
  })

  test('starts, pauses, resumes, updates, kills and deletes a container', async () => {
    const { id, pid, cgroup } = await startSleeping()
    await runtime.setPaused(id, true)
    await runtime.setPaused(id, false)
    await runtime.update(id, { pids: { limit: 77 } })
    const limit = await collect(await exec(id, ['/bin/true']))
    expect(limit.exit.exitCode).toBe(0)
    expect(cgroup).toContain(id)
    await runtime.kill(id, 9)
    await until('it has ended', () => !existsSync(`/proc/${pid}/root/bin`))
    await runtime.delete(id, { force: true })
    await runtime.delete(id, { force: true })
    await runtime.delete(id)
  })

  test('says that it does not know a container', async () => {
    const gone = { code: 'ERR_OCI_CONTAINER_NOT_FOUND' }
    await expect(runtime.start('nobody')).rejects.toMatchObject(gone)
    await expect(runtime.kill('nobody', 15)).rejects.toMatchObject(gone)
    await expect(runtime.setPaused('nobody', true)).rejects.toMatchObject(gone)
    const { exited, stdout, stderr } = await exec('nobody', ['/bin/true'])
    for (const stream of [stdout, stderr]) stream?.resume()
    await expect(exited).rejects.toMatchObject(gone)
  })

  test('says that a container is not in the state for a verb', async () => {
    const { id } = await startSleeping()
    const wrong = { code: 'ERR_CONTAINER_STATE' }
    await expect(runtime.start(id)).rejects.toMatchObject(wrong)
    await expect(runtime.delete(id)).rejects.toMatchObject(wrong)
  })

  test('runs further processes in a container as another user, with input and exit codes', async () => {
    const { id } = await startSleeping()
    const process = await exec(id, [], {
      process: lab.process(['/bin/sh', '-c', 'id -u; cat; echo e >/proc/self/fd/2; exit 5'], 1000),
      stdin: 'pipe',
    })
    process.stdin?.end('input')
    const { exit, stdout, stderr } = await collect(process)
    expect(exit).toEqual({ exitCode: 5, exitSignal: null, timedOut: false, oomKilled: false })
    expect([stdout.toString(), stderr]).toEqual(['1000\ninput', 'e\n'])
    expect((await collect(await exec(id, ['/bin/sh', '-c', 'kill -TERM $$']))).exit).toMatchObject({ exitCode: 143, exitSignal: 'SIGTERM' })
  })

  test('shows a further process nothing but its three streams', async () => {
    const { id } = await startSleeping()
    const { stdout } = await collect(await exec(id, ['/bin/sh', '-c', 'ls /proc/$$/fd; :']))
    expect(stdout.toString().trim().split('\n')).toEqual(['0', '1', '2'])
  })

  test('kills a further process that takes too long with its descendants, and not the container', async () => {
    const { id } = await startSleeping()
    const script = '(sleep 88881 & sleep 88882) & busybox setsid sh -c "sleep 88883" & sleep 88884'
    const { exit } = await collect(await exec(id, ['/bin/sh', '-c', script], { timeoutMs: 300 }))
    expect(exit).toEqual({ exitCode: 137, exitSignal: 'SIGKILL', timedOut: true, oomKilled: false })
    const { stdout } = await collect(await exec(id, ['/bin/ps', '-o', 'args']))
    expect(stdout.toString()).toContain('sleep 1000')
    expect(stdout.toString()).not.toContain('8888')
  })

  test('reports an error to who writes to a program that has ended', async () => {
    const { id } = await startSleeping()
    const process = await exec(id, ['/bin/true'], { stdin: 'pipe' })
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => process.stdin?.once('error', resolve))
    await process.exited
    process.stdin?.write('x')
    expect((await failed).code).toBe('EPIPE')
    await collect(process)
  })
}
