import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect } from '@jest/globals'
import { isSameProcess, readProcess } from '../../src/host/proc.ts'
import type { CreateRequest, ExitRecord } from '../../src/monitor/monitor.ts'
import type { OciRuntime } from '../../src/oci-runtime/oci-runtime.ts'
import type { RuntimeSpec } from '../../src/spec/runtime.ts'
import { OciLab } from '../helpers/oci-lab.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { until } from '../helpers/until.ts'

type Extras = Partial<CreateRequest> & { readonly change?: (spec: RuntimeSpec) => void }

/** What every monitor must do for podlib, with either runtime. */
export function monitorContract(runtimeName: 'crun' | 'runc'): void {
  let lab: OciLab
  let runtime: OciRuntime
  beforeAll(async () => {
    lab = await OciLab.open()
    runtime = lab.runtime(runtimeName)
  })
  afterAll(() => lab.close())
  const test = (title: string, work: () => Promise<void>) => testNeeding(['root', 'conmon', runtimeName], title, work)

  async function create(args: readonly string[], { change, ...extras }: Extras = {}) {
    const { id, bundle, log } = lab.container(runtime)
    const request = { id, name: `name-of-${id}`, bundle, spec: JSON.stringify(lab.spec(args, change)), runtime: runtime.command }
    const process = await lab.monitor.create({ ...request, log: ['--log-path', `k8s-file:${log}`], ...extras })
    return { id, bundle, log, ...process }
  }

  async function recordOf(id: string): Promise<ExitRecord> {
    await until(`${id} has ended`, () => lab.monitor.exitRecord(id) !== undefined)
    return lab.monitor.exitRecord(id) as ExitRecord
  }

  async function run(args: readonly string[], extras: Extras = {}) {
    const created = await create(args, extras)
    await runtime.start(created.id)
    return { ...created, record: await recordOf(created.id) }
  }

  test('tells its version', async () => {
    expect(await lab.monitor.version()).toMatch(/\d+\.\d+/)
  })

  test('creates a container that waits for its start', async () => {
    const { id, pid, pidStartTime, monitorPid, monitorStartTime } = await create(['/bin/sleep', '1000'])
    expect(isSameProcess(pid, pidStartTime)).toBe(true)
    expect(isSameProcess(monitorPid, monitorStartTime)).toBe(true)
    expect(readProcess(monitorPid)?.session).toBe(monitorPid)
    expect(lab.monitor.exitRecord(id)).toBeUndefined()
  })

  for (const [code, script] of [
    [0, 'exit 0'],
    [1, 'exit 1'],
    [7, 'exit 7'],
  ] as const) {
    test(`records exit code ${code}`, async () => {
      const before = Date.now()
      const { record } = await run(['/bin/sh', '-c', script])
      expect(record).toMatchObject({ exitCode: code, exitSignal: null, oomKilled: false })
      expect(Math.abs(record.finishedAt - before)).toBeLessThan(10_000)
    })
  }

  test('records a death by signal', async () => {
    const { id } = await create(['/bin/sleep', '1000'])
    await runtime.start(id)
    await runtime.kill(id, 9)
    expect(await recordOf(id)).toMatchObject({ exitCode: 137, exitSignal: 'SIGKILL', oomKilled: false })
  })

  test('records that a container was killed for want of memory', async () => {
    const change = ({ linux }: RuntimeSpec) => {
      Object.assign(linux?.resources ?? {}, { memory: { limit: 32 * 2 ** 20, swap: 32 * 2 ** 20 } })
    }
    const { record } = await run(['/bin/dd', 'if=/dev/zero', 'of=/dev/null', 'bs=200M', 'count=1'], { change })
    expect(record).toMatchObject({ exitCode: 137, exitSignal: 'SIGKILL', oomKilled: true })
  })

  test('writes what the container says to its log', async () => {
    const { log } = await run(['/bin/sh', '-c', 'echo out; echo err >&2'])
    expect(readFileSync(log, 'utf8')).toMatch(/ stdout F out\n/)
    expect(readFileSync(log, 'utf8')).toMatch(/ stderr F err\n/)
  })

  for (const [program, code] of [
    ['/bin/nothing', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['/not-executable', 'ERR_OCI_RUNTIME_PERMISSION'],
  ] as const) {
    test(`rejects the creation of ${program} with ${code} and leaves nothing`, async () => {
      const { id, bundle } = lab.container(runtime)
      const request = { id, name: id, bundle, spec: JSON.stringify(lab.spec([program])), runtime: runtime.command }
      await expect(lab.monitor.create({ ...request, log: ['--log-path', 'none'] })).rejects.toMatchObject({ code })
      expect(existsSync(join(lab.directory, 'persist', id))).toBe(false)
      await expect(runtime.start(id)).rejects.toMatchObject({ code: 'ERR_OCI_CONTAINER_NOT_FOUND' })
    })
  }

  test('creates the same id again after a failure', async () => {
    const { id, bundle } = lab.container(runtime)
    const request = { id, name: id, bundle, runtime: runtime.command, log: ['--log-path', 'none'] }
    await expect(lab.monitor.create({ ...request, spec: JSON.stringify(lab.spec(['/bin/nothing'])) })).rejects.toThrow()
    await lab.monitor.create({ ...request, spec: JSON.stringify(lab.spec(['/bin/true'])) })
    await runtime.start(id)
    expect(await recordOf(id)).toMatchObject({ exitCode: 0 })
  })

  test('gives up a creation that is aborted, with everything begun', async () => {
    const { id, bundle } = lab.container(runtime)
    const controller = new AbortController()
    const request = { id, name: id, bundle, runtime: runtime.command, log: ['--log-path', 'none'], signal: controller.signal }
    const witness = join(bundle, 'hook')
    const createRuntime = [{ path: '/bin/sh', args: ['sh', '-c', `touch ${witness}; exec sleep 1000`] }]
    const creation = lab.monitor.create({ ...request, spec: JSON.stringify({ ...lab.spec(['/bin/true']), hooks: { createRuntime } }) })
    const given = expect(creation).rejects.toThrow('enough')
    await until('the OCI runtime is in the middle of it', () => existsSync(witness))
    controller.abort(new Error('enough'))
    await given
    await delay(50)
    await expect(runtime.start(id)).rejects.toMatchObject({ code: 'ERR_OCI_CONTAINER_NOT_FOUND' })
  })

  test('runs the exit command with its arguments once the container has ended', async () => {
    const { bundle } = lab.container(runtime)
    const witness = join(bundle, 'witness')
    await run(['/bin/sh', '-c', 'exit 3'], { exitCommand: ['/bin/sh', '-c', 'echo "$1" "$2" > "$0"', witness, 'two words', '--flag'] })
    await until('the command has run', () => existsSync(witness) && readFileSync(witness, 'utf8') === 'two words --flag\n')
  })

  test('tells of ends that were and of ends that come, once each', async () => {
    const early = await run(['/bin/true'])
    const told: string[] = []
    const stop = lab.monitor.watchExits((id) => told.push(id))
    const late = await run(['/bin/true'])
    await until('the end is told', () => told.includes(late.id))
    stop()
    expect(told.filter((id) => id === early.id || id === late.id)).toEqual([early.id, late.id])
    lab.monitor.remove(early.id)
    expect(lab.monitor.exitRecord(early.id)).toBeUndefined()
  })

  test('leaves a container alive and without a record when it is killed', async () => {
    const { id, pid, pidStartTime, monitorPid } = await create(['/bin/sleep', '1000'])
    await runtime.start(id)
    process.kill(monitorPid, 'SIGKILL')
    await delay(50)
    expect(isSameProcess(pid, pidStartTime)).toBe(true)
    expect(lab.monitor.exitRecord(id)).toBeUndefined()
  })

  test('reports a conmon that ends without a word', async () => {
    const { id, bundle } = lab.container(runtime)
    const request = { id, name: id, bundle, spec: JSON.stringify(lab.spec(['/bin/true'])), runtime: runtime.command }
    await expect(lab.monitor.create({ ...request, log: ['--no-such-option'] })).rejects.toMatchObject({ code: 'ERR_MONITOR_FAILED' })
  })

  test('is a member of the cgroups it was given', async () => {
    const cgroup = `/sys/fs/cgroup/pids/${lab.directory.split('/').at(-1)}`
    mkdirSync(cgroup)
    const { id, monitorPid, monitorStartTime } = await create(['/bin/sleep', '1000'], { cgroups: [cgroup] })
    expect(readFileSync(`/proc/${monitorPid}/cgroup`, 'utf8')).toContain(`:pids:/${lab.directory.split('/').at(-1)}\n`)
    await runtime.delete(id, { force: true })
    await until('the monitor has ended', () => !isSameProcess(monitorPid, monitorStartTime))
    rmdirSync(cgroup)
  })

  test('starts further processes that outlive the application and records their end', async () => {
    const { id, bundle } = await create(['/bin/sleep', '1000'])
    await runtime.start(id)
    const request = { id, session: 'first', bundle, runtime: runtime.command, log: ['--log-path', 'none'] }
    const started = await lab.monitor.exec({ ...request, process: JSON.stringify(lab.process(['/bin/sh', '-c', 'sleep 0.2; exit 9'])) })
    expect(isSameProcess(started.pid, started.pidStartTime)).toBe(true)
    expect(lab.monitor.execRecord(id, 'first')).toBeUndefined()
    expect(await lab.monitor.execEnded({ id, session: 'first', ...started })).toMatchObject({ exitCode: 9, exitSignal: null })
    expect(lab.monitor.exitRecord(id)).toBeUndefined()
    const failing = { ...request, session: 'second', process: JSON.stringify(lab.process(['/bin/nothing'])) }
    await expect(lab.monitor.exec(failing)).rejects.toMatchObject({ code: 'ERR_OCI_COMMAND_NOT_FOUND' })
  })

  test('tells when a further process ended whose monitor was killed', async () => {
    const { id, bundle } = await create(['/bin/sleep', '1000'])
    await runtime.start(id)
    const request = { id, session: 'lost', bundle, runtime: runtime.command, log: ['--log-path', 'none'] }
    const started = await lab.monitor.exec({ ...request, process: JSON.stringify(lab.process(['/bin/sleep', '500'])) })
    const ended = lab.monitor.execEnded({ id, session: 'lost', ...started })
    process.kill(started.monitorPid, 'SIGKILL')
    expect(await ended).toBeUndefined()
  })

  test('removes leftovers of an earlier life before it creates', async () => {
    const { id, bundle } = lab.container(runtime)
    writeFileSync(join(lab.exits, id), '99')
    const request = { id, name: id, bundle, spec: JSON.stringify(lab.spec(['/bin/sleep', '1000'])), runtime: runtime.command }
    await lab.monitor.create({ ...request, log: ['--log-path', 'none'] })
    expect(lab.monitor.exitRecord(id)).toBeUndefined()
    rmSync(join(lab.exits, id), { force: true })
  })
}
