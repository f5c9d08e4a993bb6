import { appendFileSync, existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import type { LogDriver, LogRecord, ReadLogOptions } from '../../src/log/log-driver.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { until } from '../helpers/until.ts'

/** What every driver that keeps a log must do; `line` writes one the way its monitor does. */
export function logDriverContract(
  driver: LogDriver,
  line: (text: string, options?: { second?: number; partial?: boolean; stream?: string }) => string,
): void {
  const newDirectory = temporaryDirectories()
  const newLog = (text = ''): string => {
    const path = join(newDirectory(), 'log')
    writeFileSync(path, text)
    return path
  }

  async function read(options: ReadLogOptions): Promise<string[]> {
    const texts: string[] = []
    for await (const { text } of driver.read(options)) texts.push(text)
    return texts
  }

  async function records(path: string): Promise<LogRecord[]> {
    const all: LogRecord[] = []
    for await (const record of driver.read({ path })) all.push(record)
    return all
  }

  /** Reads in the background; `texts` grows. */
  function follow(options: ReadLogOptions) {
    const texts: string[] = []
    const ended = (async () => {
      for await (const { text } of driver.read({ follow: true, ...options })) texts.push(text)
    })()
    return { texts, ended }
  }

  /** A container that runs until it is told to end. */
  function newContainer() {
    let exit = () => {}
    const exited = new Promise<void>((resolve) => {
      exit = resolve
    })
    return { exited, exit }
  }

  const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `line ${from + index}`)
  const lines = (texts: readonly string[]) => texts.map((text) => line(text)).join('')

  test('reads a log from beginning to end', async () => {
    const path = newLog(lines(numbered(0, 1000)))
    expect(await read({ path })).toEqual(numbered(0, 1000))
  })

  test('reads lines that are longer than its buffer', async () => {
    const [short, long] = ['short', 'x'.repeat(3 * 2 ** 20)]
    expect(await read({ path: newLog(lines([short, long, short])) })).toEqual([short, long, short])
  })

  test('has nothing to give of a log that is not there', async () => {
    expect(await read({ path: join(newDirectory(), 'log') })).toEqual([])
  })

  for (const [tail, total] of [
    [0, 10],
    [1, 10],
    [10, 10],
    [11, 10],
    [3, 100_000],
    [50_000, 100_000],
  ] as const) {
    test(`gives the last ${tail} of ${total} lines`, async () => {
      const path = newLog(lines(numbered(0, total)))
      expect(await read({ path, tail })).toEqual(numbered(Math.max(0, total - tail), total))
    })
  }

  test('counts joined lines, not their parts, from the end', async () => {
    const parts = [
      line('first'),
      line('a', { partial: true }),
      line('x', { stream: 'stderr' }),
      line('b', { partial: true }),
      line('c'),
      line('last'),
    ]
    const path = newLog(parts.join(''))
    expect(await read({ path, tail: 2 })).toEqual(['abc', 'last'])
    expect(await read({ path, tail: 1 })).toEqual(['last'])
  })

  test('counts a line that never ended as one', async () => {
    const path = newLog(line('first') + line('second') + line('prompt', { partial: true }))
    expect(await read({ path, tail: 2 })).toEqual(['second', 'prompt'])
  })

  test('gives only what was written in a span of time', async () => {
    const path = newLog([1, 2, 3, 4].map((second) => line(`at ${second}`, { second })).join(''))
    const [, second, third] = await records(path)
    expect(await read({ path, since: second?.time, until: third?.time })).toEqual(['at 2', 'at 3'])
    expect(await read({ path, since: third?.time })).toEqual(['at 3', 'at 4'])
  })

  test('follows what is written until the container has ended, and gives what is left then', async () => {
    const path = newLog(lines(numbered(0, 2)))
    const { exited, exit } = newContainer()
    const { texts, ended } = follow({ path, exited })
    await until('the first lines', () => texts.length === 2)
    appendFileSync(path, lines(numbered(2, 4)))
    await until('the next lines', () => texts.length === 4)
    appendFileSync(path, lines(numbered(4, 5)) + line('never ended', { partial: true }))
    exit()
    await ended
    expect(texts).toEqual([...numbered(0, 5), 'never ended'])
  })

  test('follows from a tail on', async () => {
    const path = newLog(lines(numbered(0, 100)))
    const { exited, exit } = newContainer()
    const { texts, ended } = follow({ path, tail: 2, exited })
    await until('the tail', () => texts.length === 2)
    appendFileSync(path, lines(['more']))
    exit()
    await ended
    expect(texts).toEqual(['line 98', 'line 99', 'more'])
  })

  test('follows a log that comes into being later', async () => {
    const path = join(newDirectory(), 'log')
    const { exited, exit } = newContainer()
    const { texts, ended } = follow({ path, exited })
    await delay(20)
    writeFileSync(path, lines(['late']))
    await until('the line', () => texts.length === 1)
    exit()
    await ended
    expect(texts).toEqual(['late'])
  })

  test('goes on in the file that rotation puts in the place of the log', async () => {
    const path = newLog(lines(numbered(0, 2)))
    const { exited, exit } = newContainer()
    const { texts, ended } = follow({ path, exited })
    await until('the first lines', () => texts.length === 2)
    appendFileSync(path, lines(['last of the old']))
    writeFileSync(`${path}.tmp`, lines(['first of the new']))
    renameSync(`${path}.tmp`, path)
    await until('the new file', () => texts.length === 4)
    appendFileSync(path, lines(['second of the new']))
    exit()
    await ended
    expect(texts).toEqual([...numbered(0, 2), 'last of the old', 'first of the new', 'second of the new'])
  })

  test('loses nothing of a file that is rotated at the very moment when all of it has been read', async () => {
    const path = newLog()
    const { exited, exit } = newContainer()
    const { texts, ended } = follow({ path, exited })
    const written: string[] = []
    const write = (text: string) => {
      appendFileSync(path, lines([text]))
      written.push(text)
    }
    /** Not a turn later than it must: what is looked for happens between two of them. */
    const caughtUp = async () => {
      for (const deadline = Date.now() + 5_000; texts.length < written.length; await nextTurn())
        if (Date.now() > deadline) throw new Error(`only ${texts.slice(-3).join(', ')} came of ${written.slice(-3).join(', ')}`)
    }
    for (let round = 0; round < 100; round++) {
      write(`begin ${round}`)
      await caughtUp()
      // Now it looks whether there is more, and whether there is another file.
      for (let turns = round % 5; turns > 0; turns--) await nextTurn()
      write(`end ${round}`)
      writeFileSync(`${path}.tmp`, '')
      renameSync(`${path}.tmp`, path)
      write(`new ${round}`)
      await caughtUp()
    }
    exit()
    await ended
    expect(texts).toEqual(written)
  })

  test('stops following after the end of a span of time', async () => {
    const path = newLog(line('in', { second: 1 }))
    const [{ time } = { time: new Date() }] = await records(path)
    const { texts, ended } = follow({ path, until: time })
    await until('the first line', () => texts.length === 1)
    appendFileSync(path, line('out', { second: 2 }))
    await ended
    expect(texts).toEqual(['in'])
  })

  test('frees everything when its reader leaves or gives up', async () => {
    const path = newLog(lines(numbered(0, 100_000)))
    const before = openDescriptors()
    for await (const { text } of driver.read({ path, follow: true })) if (text === 'line 5') break
    const controller = new AbortController()
    const aborted = follow({ path, signal: controller.signal })
    await until('some lines', () => aborted.texts.length > 0)
    controller.abort(new Error('enough'))
    await expect(aborted.ended).rejects.toThrow('enough')
    await expect(read({ path, signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late')
    await until('the files are closed', () => openDescriptors() <= before)
  })

  test('removes a log', () => {
    const path = newLog('x')
    driver.remove(path)
    driver.remove(path)
    expect(existsSync(path)).toBe(false)
  })
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}
