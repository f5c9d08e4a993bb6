import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { isSameProcess, listProcesses } from '../../src/host/proc.ts'
import { OciLab } from '../helpers/oci-lab.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { until } from '../helpers/until.ts'

describe('a host worker that is killed', () => {
  let lab: OciLab
  beforeAll(async () => {
    lab = await OciLab.open()
  })
  afterAll(() => lab.close())
  const test = (title: string, work: () => Promise<void>) => testNeeding(['root', 'conmon', 'crun'], title, work)

  async function killWorker(): Promise<void> {
    // The job makes sure that there is one.
    await lab.runtime('crun').version()
    killWorkers()
  }

  async function runSleeping(marker: string) {
    const runtime = lab.runtime('crun')
    const { id, bundle } = lab.container(runtime)
    const running = await runtime.run({
      id,
      bundle,
      spec: lab.spec(['/bin/sh', '-c', `echo up; sleep ${marker}`]),
      ioDirectory: lab.io,
      stdout: 'pipe',
    })
    for await (const _ of running.stdout ?? []) break
    return { id, running }
  }

  const sleeping = (marker: string) => listProcesses().filter(({ pid }) => commandLine(pid).includes(marker))

  test('takes its attached container along', async () => {
    const { id, running } = await runSleeping('66661')
    expect(sleeping('66661').length).toBeGreaterThan(0)
    const ended = expect(running.exited).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    await killWorker()
    await ended
    expect(sleeping('66661')).toEqual([])
    await expect(lab.runtime('crun').start(id)).rejects.toMatchObject({ code: 'ERR_OCI_CONTAINER_NOT_FOUND' })
  })

  test('leaves a monitored container alone, and further processes in it end with it only when they are attached', async () => {
    const runtime = lab.runtime('crun')
    const { id, bundle } = lab.container(runtime)
    const spec = JSON.stringify(lab.spec(['/bin/sleep', '1000']))
    const created = await lab.monitor.create({ id, name: id, bundle, spec, runtime: runtime.command, log: ['--log-path', 'none'] })
    await runtime.start(id)
    const attached = await runtime.exec({ id, process: lab.process(['/bin/sleep', '66662']), ioDirectory: lab.io })
    await until('the process runs', () => sleeping('66662').length > 0)
    const ended = expect(attached.exited).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    await killWorker()
    await ended
    expect(sleeping('66662')).toEqual([])
    expect(isSameProcess(created.pid, created.pidStartTime)).toBe(true)
    expect(isSameProcess(created.monitorPid, created.monitorStartTime)).toBe(true)
    await runtime.kill(id, 9)
    await until('its end is recorded', () => lab.monitor.exitRecord(id) !== undefined)
    expect(lab.monitor.exitRecord(id)).toMatchObject({ exitCode: 137 })
  })

  test('ends its attached container when the application closes the host', async () => {
    const other = await OciLab.open()
    const runtime = other.runtime('crun')
    const { id, bundle } = other.container(runtime)
    const running = await runtime.run({ id, bundle, spec: other.spec(['/bin/sleep', '66663']), ioDirectory: other.io })
    const ended = running.exited.catch((error: unknown) => error)
    await other.host.close()
    await ended
    expect(sleeping('66663')).toEqual([])
    await lab.host.run('remove-tree', { paths: [other.directory] })
  })
})

describe('a runtime whose worker is killed between two calls', () => {
  const lab = runtimeLab()

  testNeeding(RUNTIME_NEEDS, 'goes on as if nothing had been', async () => {
    const runtime = await (await lab.store()).open()
    const container = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'] })
    killWorkers()
    expect((await runtime.run(SMALL, ['echo', 'run'])).stdout).toBe('run\n')
    killWorkers()
    expect((await container.exec(['echo', 'exec'])).stdout).toBe('exec\n')
    killWorkers()
    const other = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'] })
    killWorkers()
    await container.stop({ timeoutMs: 0 })
    killWorkers()
    expect(await container.inspect()).toMatchObject({ status: 'exited', exitCode: 137 })
    await container.start()
    expect((await container.inspect()).status).toBe('running')
    killWorkers()
    await Promise.all([container, other].map((one) => one.remove({ force: true })))
  })
})

function killWorkers(): void {
  for (const { pid } of listProcesses().filter(({ command, parent }) => parent === process.pid && command.startsWith('podlib-worker'))) {
    process.kill(pid, 'SIGKILL')
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
