import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from '../../../../src/host/host.ts'
import { createWorkerHost } from '../../../../src/host/worker-host.ts'
import { temporaryDirectories } from '../../../helpers/temporary-directory.ts'
import { until } from '../../../helpers/until.ts'

const WORKER = fileURLToPath(new URL('../../../../src/programs/host-worker.ts', import.meta.url))

describe('run-program', () => {
  const newDirectory = temporaryDirectories()
  let host: Host
  beforeAll(() => {
    const command = { file: process.execPath, args: ['--no-warnings', WORKER], env: { PATH: '/usr/bin:/bin', SECRET: 'of the worker' } }
    host = createWorkerHost({
      facts: { inUserNamespace: true, overlayXattrs: 'user', uids: [], gids: [], makesCgroups: false },
      command: async () => command,
    })
  })
  afterAll(() => host.close())
  const shell = (script: string, rest: object = {}) =>
    host.run('run-program', { argv: ['/bin/sh', '-c', script], env: { PATH: '/usr/bin:/bin' }, ...rest })

  test('gives exit code and output', async () => {
    expect(await shell('echo out; echo err >&2; exit 3')).toEqual({ exitCode: 3, signal: null, stdout: 'out\n', stderr: 'err\n' })
  })

  test('gives the signal that ended a program', async () => {
    expect(await shell('kill -TERM $$')).toMatchObject({ exitCode: null, signal: 15 })
  })

  test('gives a program its input, and its end', async () => {
    expect(await shell('cat', { stdin: 'some text' })).toMatchObject({ stdout: 'some text' })
    expect(await shell('cat')).toMatchObject({ stdout: '' })
  })

  test('passes on no variable, descriptor, ignored signal or directory of the worker', async () => {
    const script = 'env; ls /proc/$$/fd; grep SigIgn /proc/$$/status; pwd'
    const { stdout } = await shell(script)
    expect(stdout).not.toContain('SECRET')
    expect(stdout).toMatch(/\n0\n1\n2\nSigIgn:\t0+\n\/\n$/)
  })

  test('passes arguments as they are', async () => {
    const argv = ['/bin/sh', '-c', 'printf "%s|" "$@"', 'sh', 'two words', '', '*', "it's", '--x']
    expect((await host.run('run-program', { argv, env: {} })).stdout).toBe("two words||*|it's|--x|")
    await expect(host.run('run-program', { argv: ['/bin/sh', 'a\0b'] })).rejects.toMatchObject({
      message: expect.stringContaining('EINVAL'),
    })
  })

  test('keeps the end of very long output', async () => {
    const { stdout } = await shell('head -c 3000000 /dev/zero | tr "\\0" x; echo end')
    expect(stdout.length).toBe(2 ** 20)
    expect(stdout.endsWith('xend\n')).toBe(true)
  })

  test('does not wait for who keeps its output open', async () => {
    const before = Date.now()
    await shell('sleep 3 & exit 0')
    expect(Date.now() - before).toBeLessThan(2_000)
  })

  test('kills a program that takes too long', async () => {
    await expect(shell('exec sleep 100', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  })

  test('kills a program whose caller gives up, and rejects with the reason', async () => {
    const witness = join(newDirectory(), 'pid')
    const controller = new AbortController()
    const running = host.run(
      'run-program',
      { argv: ['/bin/sh', '-c', `echo $$ > ${witness}; exec sleep 100`], env: { PATH: '/bin' } },
      { signal: controller.signal },
    )
    await until('it runs', () => read(witness) !== '')
    controller.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    expect(() => process.kill(Number(read(witness)), 0)).toThrow()
  })

  test('says what cannot be executed', async () => {
    await expect(host.run('run-program', { argv: ['/no/such/program'] })).rejects.toMatchObject({
      message: expect.stringContaining("ENOENT '/no/such/program'"),
    })
  })

  test('runs many at once', async () => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, index) => shell(`exit ${index}`)))
    expect(results.map(({ exitCode }) => exitCode)).toEqual(Array.from({ length: 50 }, (_, index) => index))
  })

  describe('of a sealed copy', () => {
    const self = (path: string) => host.run('run-program', { argv: [path, '/proc/self/exe'], sealed: true })

    test('executes from memory', async () => {
      expect((await self('/usr/bin/readlink')).stdout).toMatch(/^\/memfd:readlink/)
    })

    test('follows an upgrade of the program', async () => {
      const path = join(newDirectory(), 'tool')
      copyFileSync('/usr/bin/readlink', path)
      chmodSync(path, 0o755)
      expect((await self(path)).stdout).toMatch(/^\/memfd:tool/)
      copyFileSync('/usr/bin/basename', path)
      expect((await self(path)).stdout).toBe('exe\n')
    })

    test('executes a script from its file', async () => {
      const path = join(newDirectory(), 'script')
      writeFileSync(path, '#!/bin/sh\necho "$0"\n', { mode: 0o755 })
      expect((await self(path)).stdout).toBe(`${path}\n`)
    })
  })
})

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
