import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { watchHooks } from '../../../src/hooks/monitor.ts'
import { loadHooks, readHooks } from '../../../src/hooks/read.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

let work: string
let low: string
let high: string
let program: string

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'podlib-hooks-'))
  low = join(work, 'low')
  high = join(work, 'high')
  program = join(work, 'program')
  await mkdir(low, { mode: 0o755 })
  await mkdir(high, { mode: 0o755 })
  await writeFile(program, '#!/bin/sh\n', { mode: 0o755 })
})

afterEach(() => rm(work, { recursive: true, force: true }))

const put = (directory: string, name: string, changes: object = {}) =>
  writeFile(
    join(directory, name),
    JSON.stringify({ version: '1.0.0', hook: { path: program }, when: { always: true }, stages: ['poststart'], ...changes }),
    {
      mode: 0o644,
    },
  )

describe('hook directories', () => {
  test('later ones replace files of the same name', async () => {
    await put(low, 'a.json')
    await put(low, 'b.json')
    await put(high, 'a.json', { stages: ['poststop'] })
    await put(high, 'A.json')
    const { hooks, problems } = await readHooks({ directories: [low, high] })
    expect(problems).toEqual([])
    expect(hooks.map(({ file, stages }) => [file.slice(work.length), ...stages]).sort()).toEqual([
      ['/high/A.json', 'poststart'],
      ['/high/a.json', 'poststop'],
      ['/low/b.json', 'poststart'],
    ])
  })

  test('may be missing, and only files ending in .json are read', async () => {
    await writeFile(join(low, 'README'), 'no hook')
    await writeFile(join(low, 'b.json.bak'), 'no hook')
    expect(await readHooks({ directories: [join(work, 'missing'), low] })).toEqual({ hooks: [], problems: [] })
  })

  test('a link to a file that is gone is skipped', async () => {
    await symlink('/nowhere.json', join(low, 'x.json'))
    expect(await readHooks({ directories: [low] })).toEqual({ hooks: [], problems: [] })
  })

  test('the good files of one with bad ones are read, and the error names every bad one', async () => {
    await put(low, 'good.json')
    await put(low, 'stage.json', { stages: ['nope'] })
    await writeFile(join(low, 'text.json'), 'x')
    const { hooks, problems } = await readHooks({ directories: [low] })
    expect(hooks.map(({ name }) => name)).toEqual(['good.json'])
    expect(problems).toHaveLength(2)
    await expect(loadHooks({ directories: [low] })).rejects.toMatchObject({
      code: 'ERR_HOOK_INVALID',
      message: expect.stringMatching(/stage\.json.*; .*text\.json/),
      details: { files: [join(low, 'stage.json'), join(low, 'text.json')] },
    })
  })

  test('a bad file does not bring back the one that it replaces', async () => {
    await put(low, 'a.json')
    await writeFile(join(high, 'a.json'), 'x')
    expect((await readHooks({ directories: [low, high] })).hooks).toEqual([])
  })

  test('extension stages must be declared', async () => {
    await put(low, 'a.json', { stages: ['precreate'] })
    await expect(loadHooks({ directories: [low] })).rejects.toThrow('unknown stage "precreate"')
    expect(await loadHooks({ directories: [low], extensionStages: ['precreate'] })).toHaveLength(1)
  })

  test('reading ends with the reason of an abort', async () => {
    await put(low, 'a.json')
    const reason = new Error('enough')
    await expect(readHooks({ directories: [low], signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('what somebody else could have written is not run', () => {
  const problem = async () => {
    const { hooks, problems } = await readHooks({ directories: [low] })
    expect(hooks).toEqual([])
    return problems.map(({ message }) => message).join()
  }

  test('a file that the group or the world can write', async () => {
    await put(low, 'a.json')
    for (const mode of [0o664, 0o646]) {
      await chmod(join(low, 'a.json'), mode)
      expect(await problem()).toContain('can be written by other users')
    }
  })

  test('a directory that the world can write, sticky or not', async () => {
    await put(low, 'a.json')
    await chmod(low, 0o1777)
    expect(await problem()).toContain('the directory can be written by other users')
  })

  test('a program that the world can write', async () => {
    await put(low, 'a.json')
    await chmod(program, 0o777)
    expect(await problem()).toContain('can be written by other users')
  })

  test('a program that does not exist, is relative, or is no file', async () => {
    for (const [path, message] of [
      [join(work, 'nope'), 'cannot be found'],
      ['program', 'is not absolute'],
      [low, 'is not a regular file'],
    ]) {
      await put(low, 'a.json', { hook: { path } })
      expect(await problem()).toContain(message)
    }
  })

  test('a FIFO, without waiting for a writer', async () => {
    execFileSync('/bin/sh', ['-c', 'mkfifo "$0"', join(low, 'a.json')])
    expect(await problem()).toContain('is not a regular file')
  })

  test('a file of a megabyte and more', async () => {
    await writeFile(join(low, 'a.json'), ' '.repeat(1024 * 1024 + 1), { mode: 0o644 })
    expect(await problem()).toContain('is larger than')
  })

  testNeeding(['root'], 'a file of another user', async () => {
    await put(low, 'a.json')
    await chown(join(low, 'a.json'), 12345, 0)
    expect(await problem()).toContain('belongs to user 12345')
    expect((await readHooks({ directories: [low], uid: 12345 })).hooks).toHaveLength(1)
  })
})

describe('a monitor', () => {
  test('keeps up with what happens in several directories', async () => {
    await put(low, 'a.json')
    const monitor = await watchHooks({ directories: [low, high] })
    try {
      const files = () => monitor.hooks().map(({ file }) => file.slice(work.length))
      expect(files()).toEqual(['/low/a.json'])
      await put(high, 'a.json')
      await monitor.settled()
      expect(files()).toEqual(['/high/a.json'])
      await rm(join(high, 'a.json'))
      await monitor.settled()
      expect(files()).toEqual(['/low/a.json'])
      await writeFile(join(low, 'b.json'), '{')
      await monitor.settled()
      expect(files()).toEqual(['/low/a.json'])
      expect(monitor.problems()).toHaveLength(1)
    } finally {
      monitor.close()
    }
  })

  test('notices a change without being asked', async () => {
    const monitor = await watchHooks({ directories: [low] })
    try {
      await put(low, 'a.json')
      const until = Date.now() + 5000
      while (monitor.hooks().length === 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 10))
      expect(monitor.hooks()).toHaveLength(1)
    } finally {
      monitor.close()
    }
  })

  test('gives snapshots, and stops when closed or aborted', async () => {
    await put(low, 'a.json')
    const abort = new AbortController()
    const monitor = await watchHooks({ directories: [low], signal: abort.signal })
    const before = monitor.hooks()
    abort.abort()
    await put(low, 'b.json')
    await monitor.settled()
    expect(monitor.hooks()).toBe(before)
    monitor.close()
  })

  test('cannot watch a directory that is missing', async () => {
    await expect(watchHooks({ directories: [low, join(work, 'missing')] })).rejects.toMatchObject({ code: 'ERR_HOOK_INVALID' })
  })
})
