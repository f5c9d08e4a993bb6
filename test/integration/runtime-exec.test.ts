import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect } from '@jest/globals'
import type { Container, Runtime } from '../../src/index.ts'
import type { Ability } from '../helpers/abilities.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { fifos } from '../helpers/runtime-traces.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const MIB = 2 ** 20

describe.each(['crun', 'runc'] as const)('exec with %s', (ociRuntime) => {
  const needs: Ability[] = [...RUNTIME_NEEDS, ociRuntime]
  const it = (name: string, work: () => Promise<void>) => testNeeding(needs, name, work)
  let store: RuntimeStore
  let runtime: Runtime
  let container: Container

  beforeAll(async () => {
    store = await lab.store({ ociRuntime })
    runtime = await store.open()
    container = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'], env: { FROM: 'container' } })
  })

  /** Command lines in the container that contain a text. */
  const running = async (text: string) =>
    (await container.exec(['ps', '-o', 'args'])).stdout.split('\n').filter((line) => line.includes(text))

  it('gives exit codes as they are, and a signal by name', async () => {
    expect(await container.exec(['true'])).toEqual({ exitCode: 0, signal: null, oomKilled: false, stdout: '', stderr: '' })
    expect(await container.exec(['sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({
      exitCode: 3,
      signal: null,
      oomKilled: false,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    // The runtime itself ends with 126 and 127 too: these are the program's own.
    for (const code of [126, 127])
      expect(await container.exec(['sh', '-c', `exit ${code}`])).toMatchObject({ exitCode: code, signal: null })
    expect(await container.exec(['sh', '-c', 'kill -KILL $$'])).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
    expect(await container.exec(['sh', '-c', 'kill -TERM $$'])).toMatchObject({ exitCode: 143, signal: 'SIGTERM' })
  })

  it('tells a program that is not there and one that may not be run from one that failed', async () => {
    expect(await failure(container.exec(['no-such-program']))).toMatchObject({ code: 'ERR_OCI_COMMAND_NOT_FOUND', kind: 'not-found' })
    expect(await failure(container.exec(['/etc/passwd']))).toMatchObject({ code: 'ERR_OCI_RUNTIME_PERMISSION', kind: 'denied' })
    expect(await failure(container.exec(['true'], { user: 'nobody-here' }))).toMatchObject({ code: 'ERR_USER_NOT_FOUND' })
    expect(fifos(store)).toEqual([])
  })

  it('runs with the user, environment and directory it is given', async () => {
    expect((await container.exec(['id', '-u'], { user: 'nobody' })).stdout).toBe('65534\n')
    expect((await container.exec(['id', '-g'], { user: '1:2' })).stdout).toBe('2\n')
    const { stdout } = await container.exec(['sh', '-c', 'echo $FROM $MORE $HOME; pwd'], { env: { MORE: 'exec' }, cwd: '/tmp' })
    expect(stdout).toBe('container exec /root\n/tmp\n')
  })

  it('carries 32 MiB through standard input and output byte for byte', async () => {
    const input = randomBytes(32 * MIB)
    const { stdout, exitCode } = await container.exec(['cat'], { input, encoding: 'buffer' })
    expect({ exitCode, size: stdout.length }).toEqual({ exitCode: 0, size: input.length })
    expect(stdout.equals(input)).toBe(true)
    expect((await container.exec(['sh', '-c', 'wc -c >&2'], { input })).stderr.trim()).toBe(String(input.length))
  })

  it('does not mind a program that leaves its input unread', async () => {
    expect(await container.exec(['true'], { input: randomBytes(4 * MIB) })).toMatchObject({ exitCode: 0 })
  })

  it('takes the end of input for an end of file and nothing else', async () => {
    const process = await container.spawn(['sh', '-c', 'cat; echo after'], { stdin: 'pipe' })
    process.stdin?.write('before\n')
    await once(process.stdout as NodeJS.ReadableStream, 'data')
    process.stdin?.end('last\n')
    let text = ''
    for await (const chunk of process.stdout as NodeJS.ReadableStream) text += chunk
    expect(text).toBe('last\nafter\n')
    expect(await process.wait()).toEqual({ exitCode: 0, signal: null, oomKilled: false })
  })

  it('holds a fast writer back for a slow reader', async () => {
    const process = await container.spawn(['sh', '-c', 'head -c 67108864 /dev/zero; echo done >&2'])
    let done = false
    process.stderr?.once('data', () => {
      done = true
    })
    await sleep(300)
    // What fits the pipe and one buffer is written; the writer waits with the rest.
    expect((process.stdout as unknown as { readableLength: number }).readableLength).toBeLessThan(MIB)
    expect(done).toBe(false)
    let size = 0
    for await (const chunk of process.stdout as NodeJS.ReadableStream) size += chunk.length
    expect(size).toBe(64 * MIB)
    expect(await process.wait()).toMatchObject({ exitCode: 0 })
  })

  it('keeps standard output and error apart when both are large', async () => {
    const { stdout, stderr } = await container.exec(['sh', '-c', 'for i in $(seq 20000); do echo out $i; echo err $i >&2; done'])
    const expected = (word: string) => Array.from({ length: 20_000 }, (_, i) => `${word} ${i + 1}\n`).join('')
    const hash = (text: string) => createHash('sha256').update(text).digest('hex')
    expect([hash(stdout), hash(stderr)]).toEqual([hash(expected('out')), hash(expected('err'))])
  })

  it('gets the limits of its container, also those without a limit', async () => {
    const limited = await runtime.containers.run({
      image: SMALL,
      command: ['sleep', '1000'],
      ulimits: { core: 'unlimited', nofile: 100 },
    })
    expect((await limited.exec(['sh', '-c', 'ulimit -c; ulimit -n'])).stdout).toBe('unlimited\n100\n')
    await limited.remove({ force: true })
  })

  it('tells a death for want of memory from a signal that somebody sent, and from a code', async () => {
    const limited = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'], memory: '32m' })
    // The kernel takes the process that is to blame, and leaves the first one of the container alone.
    const eat = 'echo 1000 > /proc/self/oom_score_adj; exec tail -c 268435456 /dev/zero'
    expect(await limited.exec(['sh', '-c', eat])).toMatchObject({ exitCode: 137, signal: 'SIGKILL', oomKilled: true })
    expect(await limited.exec(['sh', '-c', 'kill -KILL $$'])).toMatchObject({ exitCode: 137, signal: 'SIGKILL', oomKilled: false })
    expect(await limited.exec(['sh', '-c', `(${eat}); exit 9`])).toMatchObject({ exitCode: 9, signal: null, oomKilled: false })
    const process = await limited.spawn(['sh', '-c', eat], { stdout: 'ignore' })
    expect(await process.wait()).toEqual({ exitCode: 137, signal: 'SIGKILL', oomKilled: true })
    await limited.remove({ force: true })
  })

  it('kills everything that a process started when its time is over', async () => {
    const error = await failure(container.exec(['sh', '-c', 'sleep 1111 & (sleep 1111; true) & sleep 1111'], { timeout: 300 }))
    expect(error).toMatchObject({ code: 'ERR_EXEC_TIMEOUT', kind: 'timeout' })
    expect(await running('1111')).toEqual([])
    expect(await running('sleep 1000')).toHaveLength(1)
  })

  it('tells what a process had said before its time was over, and not in a message', async () => {
    const script = 'echo secret; printf "half a li" >&2; sleep 1000'
    const error = await failure(container.exec(['sh', '-c', script], { timeout: 300 }))
    expect(error).toMatchObject({ code: 'ERR_EXEC_TIMEOUT', details: { stdout: 'secret\n', stderr: 'half a li' } })
    expect(error.message).not.toContain('secret')
    const bytes = await failure(container.exec(['sh', '-c', script], { timeout: 300, encoding: 'buffer', maxOutputBytes: 7 }))
    expect(bytes.details).toEqual({ maxBytes: 7, stdout: Buffer.from('secret\n'), stderr: Buffer.from('half a ') })
    expect(await running('sleep 1000')).toHaveLength(1)
  })

  it('kills what has left its parent and its session too when its time is over, and nothing that others started', async () => {
    await container.exec(['sh', '-c', 'setsid sleep 1113 > /dev/null 2>&1 &'])
    const script = '(setsid sh -c "sleep 1112 & sleep 1112" > /dev/null 2>&1 &); sleep 1112'
    const error = await failure(container.exec(['sh', '-c', script], { timeout: 300 }))
    expect(error).toMatchObject({ code: 'ERR_EXEC_TIMEOUT' })
    expect(await running('1112')).toEqual([])
    expect(await running('1113')).toHaveLength(1)
    await container.exec(['sh', '-c', 'ps -o pid,args | while read -r pid args; do [ "$args" = "sleep 1113" ] && kill $pid; done'])
  })

  it('kills everything that a process started when it is aborted', async () => {
    const reason = new Error('not interested any more')
    const abort = new AbortController()
    const execution = container.exec(['sh', '-c', 'echo begun; sleep 2222 & sleep 2222'], { signal: abort.signal })
    await eventually(async () => expect(await running('2222')).not.toEqual([]))
    abort.abort(reason)
    await expect(execution).rejects.toBe(reason)
    expect(await running('2222')).toEqual([])
    await expect(container.exec(['true'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(fifos(store)).toEqual([])
  })

  it('kills a spawned process on demand, twice without harm', async () => {
    const process = await container.spawn(['sh', '-c', 'sleep 3333 & sleep 3333'])
    await process.kill()
    await process.kill()
    expect(await failure(process.wait())).toMatchObject({ code: 'ERR_EXEC_KILLED' })
    expect(await running('3333')).toEqual([])
  })

  it('refuses more output than is wanted, and ends the process', async () => {
    const error = await failure(container.exec(['sh', '-c', 'yes 4444'], { maxOutputBytes: 10_000 }))
    expect(error).toMatchObject({ code: 'ERR_OUTPUT_TOO_LARGE', details: { maxBytes: 10_000, stdout: '4444\n'.repeat(2_000), stderr: '' } })
    expect(await running('4444')).toEqual([])
    expect((await container.exec(['head', '-c', '10000', '/dev/zero'], { maxOutputBytes: 10_000 })).stdout).toHaveLength(10_000)
  })

  // runc copies the streams of an exec itself, and waits until everybody has closed them.
  if (ociRuntime === 'crun') {
    it('does not wait for what a process left behind in the background', async () => {
      const begin = Date.now()
      const { stdout } = await container.exec(['sh', '-c', 'sleep 5555 & echo left'])
      expect(stdout).toBe('left\n')
      expect(Date.now() - begin).toBeLessThan(2_500)
      await container.exec(['sh', '-c', 'kill $(pidof sleep | tr " " "\\n" | grep -v "^1$")'])
    })
  }

  it('runs many at a time', async () => {
    const results = await Promise.all(
      Array.from({ length: 16 }, (_, i) => container.exec(['sh', '-c', `cat; exit ${i}`], { input: `number ${i}` })),
    )
    expect(results.map(({ exitCode, stdout }) => [exitCode, stdout])).toEqual(Array.from({ length: 16 }, (_, i) => [i, `number ${i}`]))
    expect(fifos(store)).toEqual([])
  })

  it('writes to /dev/stdout and /dev/stderr like any pipe', async () => {
    expect(await container.exec(['sh', '-c', 'echo a > /dev/stdout; echo b > /dev/stderr'])).toMatchObject({ stdout: 'a\n', stderr: 'b\n' })
  })

  it('ends with its container', async () => {
    const doomed = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'] })
    const execution = doomed.exec(['sleep', '1000'])
    const outcome = Promise.allSettled([execution])
    await sleep(200)
    await doomed.stop({ timeoutMs: 0 })
    const [settled] = await outcome
    if (settled?.status === 'fulfilled') expect(settled.value).toMatchObject({ exitCode: 137 })
    await doomed.remove()
  })
})
