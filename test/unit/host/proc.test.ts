import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  descendants,
  isSameProcess,
  killTree,
  listProcesses,
  type ProcessStat,
  parseProcessStat,
  readBootId,
  readProcess,
} from '../../../src/host/proc.ts'
import { until } from '../../helpers/until.ts'

const stat = (pid: number, parent: number, session = 1): ProcessStat => {
  return { pid, parent, session, command: 'x', state: 'S', startTime: pid, executed: true }
}

describe('parseProcessStat', () => {
  test('reads a line whose name has brackets, blanks and line ends', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 15 }), (command) => {
        const line = `12 (${command}) S 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 4711 22 23\n`
        expect(parseProcessStat(line)).toEqual({ pid: 12, command, state: 'S', parent: 3, session: 5, startTime: 4711, executed: true })
      }),
    )
  })

  test('refuses what is no such line', () => {
    for (const text of ['', '12', '12 (x', '12 (x) S 1', ') (']) expect(parseProcessStat(text)).toBeUndefined()
  })
})

describe('processes', () => {
  test('knows this process from one that started at another time', () => {
    const self = readProcess(process.pid)
    expect(self?.parent).toBe(process.ppid)
    expect(isSameProcess(process.pid, self?.startTime ?? 0)).toBe(true)
    expect(isSameProcess(process.pid, (self?.startTime ?? 0) + 1)).toBe(false)
    expect(readProcess(2 ** 30)).toBeUndefined()
    expect(listProcesses().some(({ pid }) => pid === process.pid)).toBe(true)
    expect(readBootId()).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('finds descendants at any depth in any order, and who left a parent but not its session', () => {
    const processes = [stat(40, 30), stat(30, 20), stat(20, 10), stat(11, 1), stat(50, 1, 20), stat(60, 50, 60), stat(70, 1, 99)]
    expect(
      descendants([10], processes)
        .map(({ pid }) => pid)
        .sort(),
    ).toEqual([20, 30, 40, 50, 60])
  })

  test('kills a whole tree that keeps forking', async () => {
    const child = spawn('/bin/sh', ['-c', 'for i in 1 2 3; do (while :; do sleep 0.01 & sleep 55551; done) & done; wait'])
    await delay(100)
    const before = descendants([child.pid as number], listProcesses())
    expect(before.length).toBeGreaterThan(3)
    killTree(child.pid as number)
    await once(child, 'exit')
    await until('all have died', () => !before.some(({ pid, startTime }) => isSameProcess(pid, startTime)))
  })
})
