import { once } from 'node:events'
import { readdirSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import { startAttached } from '../../../src/host/attached-process.ts'
import { openChildStdio } from '../../../src/host/child-stdio.ts'
import { openStdio } from '../../../src/host/stdio.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

describe('openStdio', () => {
  const newDirectory = temporaryDirectories()

  test('connects both sides and leaves no FIFO', async () => {
    const directory = newDirectory()
    const stdio = openStdio({ directory, name: 'x', stdin: 'pipe', stdout: 'pipe', stderr: 'ignore' })
    expect(readdirSync(directory).sort()).toEqual(['x.stdin', 'x.stdout'])
    const child = openChildStdio(stdio.paths)
    const streams = stdio.connect()
    expect(readdirSync(directory)).toEqual([])
    expect(streams.stderr).toBeUndefined()
    writeSync(child.fds[1], 'hello')
    child.close()
    const chunks: Buffer[] = []
    for await (const chunk of streams.stdout ?? []) chunks.push(chunk as Buffer)
    expect(Buffer.concat(chunks).toString()).toBe('hello')
    streams.stdin?.destroy()
  })

  test('meets no end of file before the worker has opened its side', async () => {
    const stdio = openStdio({ directory: newDirectory(), name: 'x', stdout: 'pipe' })
    await delay(20)
    const child = openChildStdio(stdio.paths)
    const { stdout } = stdio.connect()
    let ended = false
    stdout?.once('end', () => {
      ended = true
    })
    stdout?.resume()
    await delay(20)
    expect(ended).toBe(false)
    child.close()
    await once(stdout ?? process.stdin, 'close')
  })

  test('removes what it made when it is abandoned', () => {
    const directory = newDirectory()
    openStdio({ directory, name: 'x', stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' }).abandon()
    expect(readdirSync(directory)).toEqual([])
  })

  test('removes what it made when it fails half-way', () => {
    const directory = newDirectory()
    const first = openStdio({ directory, name: 'x', stdout: 'pipe' })
    expect(() => openStdio({ directory, name: 'x', stdin: 'pipe', stdout: 'pipe' })).toThrow(/EEXIST/)
    expect(readdirSync(directory)).toEqual(['x.stdout'])
    first.abandon()
  })

  test('never lets the worker wait for an application that is gone', () => {
    const directory = newDirectory()
    const stdio = openStdio({ directory, name: 'x', stdout: 'pipe' })
    const { stdout } = stdio.paths
    // The application's end closed, the FIFO still there.
    stdio.connect().stdout?.destroy()
    expect(() => openChildStdio({ stdout: stdout as string })).toThrow()
  })
})

describe('startAttached', () => {
  const newDirectory = temporaryDirectories()

  test('rejects with what the job throws before it has started, and leaves nothing', async () => {
    const directory = newDirectory()
    const failure = new Error('no such runtime')
    const starting = startAttached({ directory, name: 'x', stdout: 'pipe' }, async () => {
      throw failure
    })
    await expect(starting).rejects.toBe(failure)
    expect(readdirSync(directory)).toEqual([])
  })

  test('gives the failure of a started job to who waits for its end', async () => {
    const job = async (paths: Parameters<typeof openChildStdio>[0], started: (process: { pid: number; startTime: number }) => void) => {
      openChildStdio(paths).close()
      started({ pid: 1, startTime: 0 })
      await delay(1)
      throw new Error('later')
    }
    const { exited, stdout } = await startAttached({ directory: newDirectory(), name: 'x', stdout: 'pipe' }, job)
    stdout?.destroy()
    await expect(exited).rejects.toThrow('later')
  })
})
