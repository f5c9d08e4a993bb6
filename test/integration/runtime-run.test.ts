import { randomBytes } from 'node:crypto'
import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect } from '@jest/globals'
import type { RunOptions, Runtime } from '../../src/index.ts'
import type { Ability } from '../helpers/abilities.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { cgroupDirectories, fifos } from '../helpers/runtime-traces.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
/** The first process offers the others to the kernel, which might else take it as well. */
const EAT_MEMORY = [
  'sh',
  '-c',
  '(echo 1000 > /proc/self/oom_score_adj; head -c 268435456 /dev/zero | tail -c 268435456 > /dev/null); exit 9',
]

describe.each(['crun', 'runc'] as const)('run with %s', (ociRuntime) => {
  const needs: Ability[] = [...RUNTIME_NEEDS, ociRuntime]
  let store: RuntimeStore
  let runtime: Runtime

  beforeAll(async () => {
    store = await lab.store({ ociRuntime })
    runtime = await store.open()
  })

  /** Nothing of a run may outlast it: every test here ends with this. */
  const it = (name: string, work: () => Promise<void>) =>
    testNeeding(needs, name, async () => {
      await work()
      expect(await runtime.containers.list()).toEqual([])
      const left = ['run/bundles', 'run/mounts', 'root/containers'].flatMap((path) => safeList(`${store.directory}/${path}`))
      const cgroups = cgroupDirectories(store).filter((path) => !path.endsWith(store.cgroupParent))
      expect([...left, ...fifos(store), ...cgroups]).toEqual([])
    })

  describe.each([
    ['as a child of the program', false],
    ['under a monitor', true],
  ])('%s', (_how, monitor) => {
    it(`gives exit code and output [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const result = await runtime.run(SMALL, ['sh', '-c', 'echo out; echo err >&2; exit 3'], { monitor })
      expect(result).toEqual({ exitCode: 3, signal: null, oomKilled: false, stdout: 'out\n', stderr: 'err\n', warnings: [] })
      expect(await runtime.run(SMALL, ['true'], { monitor, encoding: 'buffer' })).toMatchObject({ exitCode: 0, stdout: Buffer.alloc(0) })
    })

    it(`is over when the runtime is closed, whenever that is [${monitor ? 'monitor' : 'attached'}]`, async () => {
      for (const ms of [0, 1, 2, 5, 20]) {
        const other = await store.open()
        const running = failure(other.run(SMALL, ['sleep', '1000'], { monitor }))
        await sleep(ms)
        await other.close()
        expect(await running).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
      }
    })

    it(`says that the root file system cannot be mounted [${monitor ? 'monitor' : 'attached'}]`, async () => {
      await runtime.run(SMALL, ['true'], { monitor })
      const layers = join(store.directory, 'root/layers')
      renameSync(layers, `${layers}.away`)
      try {
        // The program is there all the same, but must not run.
        const volumes = [{ type: 'bind', source: '/bin', target: '/bin', readOnly: true }] as const
        const run = runtime.run(SMALL, ['true'], { monitor, mounts: volumes })
        await expect(run).rejects.toMatchObject({ code: 'ERR_LAYER_NOT_FOUND' })
      } finally {
        renameSync(`${layers}.away`, layers)
      }
    })

    it(`can be given limits without a limit [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const { stdout } = await runtime.run(SMALL, ['sh', '-c', 'ulimit -c; ulimit -n'], {
        monitor,
        ulimits: { core: 'unlimited', nofile: 100 },
      })
      expect(stdout).toBe('unlimited\n100\n')
    })

    it(`tells what this host cannot give [${monitor ? 'monitor' : 'attached'}]`, async () => {
      // The files of cgroup v2: left out on a host with v1.
      const { warnings, exitCode } = await runtime.run(SMALL, ['true'], { monitor, unified: { 'memory.low': '0' } })
      const { cgroupVersion } = (await runtime.info()).host
      expect([exitCode, warnings]).toEqual([0, cgroupVersion === 1 ? [expect.stringContaining('cgroup v1')] : []])
    })

    it(`tells a signal from a code [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const result = await runtime.run(SMALL, ['sh', '-c', 'sleep 100 & kill -KILL $!; wait $!; exit 4'], { monitor })
      expect(result).toMatchObject({ exitCode: 4, signal: null })
      // Code and signal of the first process: nobody in the container can send it one that it does not want.
      expect(await runtime.run(SMALL, ['sh', '-c', 'exit 255'], { monitor })).toMatchObject({ exitCode: 255, signal: null })
    })

    it(`says which program is missing [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const error = await failure(runtime.run(SMALL, ['no-such-program'], { monitor }))
      expect(error).toMatchObject({ code: 'ERR_OCI_COMMAND_NOT_FOUND', kind: 'not-found' })
      expect(error.message).toContain('no-such-program')
    })

    it(`ends it when its time is over [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const begin = Date.now()
      const error = await failure(
        runtime.run(SMALL, ['sh', '-c', 'trap "" TERM; echo secret; printf "half a li" >&2; sleep 1000 & sleep 1000'], {
          monitor,
          timeout: 400,
        }),
      )
      expect(error).toMatchObject({ code: 'ERR_EXEC_TIMEOUT', kind: 'timeout', details: { stdout: 'secret\n', stderr: 'half a li' } })
      expect(error.message).not.toContain('secret')
      expect(Date.now() - begin).toBeLessThan(5_000)
    })

    it(`ends it when it is aborted [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const reason = new Error('never mind')
      const abort = new AbortController()
      const run = runtime.run(SMALL, ['sleep', '1000'], { monitor, signal: abort.signal })
      await eventually(async () => expect((await runtime.containers.list())[0]).toMatchObject({ status: 'running' }))
      abort.abort(reason)
      await expect(run).rejects.toBe(reason)
      await expect(runtime.run(SMALL, ['true'], { monitor, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    })

    it(`can be aborted at any moment [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const reason = new Error('never mind')
      for (let delayMs = 0; delayMs < 60; delayMs += 3) {
        const abort = new AbortController()
        const run = runtime.run(SMALL, ['sleep', '1000'], { monitor, signal: abort.signal })
        setTimeout(() => abort.abort(reason), delayMs)
        await expect(run).rejects.toBe(reason)
      }
    })

    it(`tells a death for want of memory from others [${monitor ? 'monitor' : 'attached'}]`, async () => {
      // Its first process goes on: only the kernel's word tells what happened to the other.
      const result = await runtime.run(SMALL, EAT_MEMORY, { monitor, memory: '32m' })
      expect(result).toMatchObject({ oomKilled: true, exitCode: 9 })
      expect(await runtime.run(SMALL, ['sh', '-c', 'kill -KILL $$; exit 5'], { monitor, memory: '32m' })).toMatchObject({
        oomKilled: false,
      })
    })

    it(`refuses more output than is wanted [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const error = await failure(runtime.run(SMALL, ['seq', '100000'], { monitor, maxOutputBytes: 1000 }))
      const said = Array.from({ length: 400 }, (_, i) => `${i + 1}\n`)
        .join('')
        .slice(0, 1000)
      expect(error).toMatchObject({ code: 'ERR_OUTPUT_TOO_LARGE', details: { maxBytes: 1000, stdout: said, stderr: '' } })
    })

    it(`does not take the container's name twice [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const first = runtime.run(SMALL, ['sleep', '0.4'], { monitor, name: 'only-one' })
      await eventually(async () => expect(await runtime.containers.find('only-one')).toBeDefined())
      expect(await failure(runtime.run(SMALL, ['true'], { monitor, name: 'only-one' }))).toMatchObject({ code: 'ERR_CONTAINER_EXISTS' })
      await first
    })
  })

  it('feeds input to its end', async () => {
    const input = randomBytes(4 * 2 ** 20)
    const { stdout } = await runtime.run(SMALL, ['cat'], { input, encoding: 'buffer' })
    expect(stdout.equals(input)).toBe(true)
    expect((await runtime.run(SMALL, ['cat'])).stdout).toBe('')
    expect(await failure(runtime.run(SMALL, ['cat'], { input: 'x', monitor: true }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  it('gives the whole output under a monitor also where containers keep no log', async () => {
    const silent = await store.open({ logDriver: 'none' })
    for (const monitor of [true, false])
      expect(await silent.run(SMALL, ['sh', '-c', 'echo said; exit 3'], { monitor })).toMatchObject({ exitCode: 3, stdout: 'said\n' })
  })

  it('refuses options that it would have to ignore before it looks for the image', async () => {
    for (const options of [
      { logDriver: 'none' },
      { logMaxSize: '1m' },
      { tty: true },
      { stdin: true },
      { ephemeral: false },
      { command: ['true'] },
    ]) {
      const [option] = Object.keys(options)
      for (const monitor of [true, false]) {
        const error = await failure(runtime.run('127.0.0.1:1/nothing:latest', ['true'], { ...options, monitor } as RunOptions))
        expect(error).toMatchObject({ code: 'ERR_OPTION_UNSUPPORTED', kind: 'unsupported', details: { option } })
      }
    }
  })

  it('keeps binary output under a monitor as it was', async () => {
    const { stdout } = await runtime.run(SMALL, ['sh', '-c', 'printf "\\000\\377\\200 no line end"'], { monitor: true, encoding: 'buffer' })
    expect(stdout).toEqual(Buffer.from('\x00\xff\x80 no line end', 'latin1'))
  })

  it('runs several at once', async () => {
    const runs = Array.from({ length: 6 }, (_, i) => runtime.run(SMALL, ['sh', '-c', `echo ${i}; exit ${i}`], { monitor: i % 2 === 1 }))
    expect((await Promise.all(runs)).map(({ exitCode, stdout }) => [exitCode, stdout])).toEqual(
      [0, 1, 2, 3, 4, 5].map((i) => [i, `${i}\n`]),
    )
  })

  it('refuses an image that is not there and options that are wrong before it makes anything', async () => {
    expect(await failure(runtime.run('127.0.0.1:1/nothing:latest', ['true']))).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' })
    expect(await failure(runtime.run({ id: 'abcdef' }, ['true']))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    expect(await failure(runtime.run(SMALL, ['true'], { memory: 'lots' }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(await failure(runtime.run(SMALL, ['true'], { timeout: 'soon' }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  it('cannot be read, stopped or removed by others into a lie', async () => {
    const run = runtime.run(SMALL, ['sleep', '1000'], { name: 'busy' })
    await eventually(async () => expect((await runtime.containers.list())[0]).toMatchObject({ status: 'running' }))
    const container = await runtime.containers.get('busy')
    // The row says so before its process is there.
    await eventually(async () => expect(await container.exec(['true'])).toMatchObject({ exitCode: 0 }))
    expect(await container.inspect()).toMatchObject({ status: 'running', attached: true })
    expect(await failure(logsOf(container))).toMatchObject({ code: 'ERR_CONTAINER_NO_LOGS' })
    const waiting = container.wait()
    await container.stop({ timeoutMs: 0 })
    expect(await run).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
    expect(await waiting).toMatchObject({ exitCode: 137 })
  })

  it('is killed by whoever stops or kills it while it is still being made', async () => {
    for (const [round, ms] of [0, 0, 4, 8, 12, 16, 20, 30].entries()) {
      const run = runtime.run(SMALL, ['sleep', '1000'], { name: 'early' })
      await eventually(async () => expect((await runtime.containers.list())[0]).toMatchObject({ status: 'running' }))
      await sleep(ms)
      const container = await runtime.containers.get('early')
      await (round % 2 === 0 ? container.kill('SIGKILL') : container.stop({ timeoutMs: 0 }))
      expect(await run).toMatchObject({ exitCode: 137, signal: 'SIGKILL', stdout: '' })
    }
  })
})

async function logsOf(container: { logs(): AsyncIterable<unknown> }): Promise<void> {
  for await (const _ of container.logs());
}

function safeList(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
