import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { killExec, markExec } from '../../../src/host/exec-mark.ts'
import { listProcesses } from '../../../src/host/proc.ts'
import { outputOf } from '../../helpers/programs.ts'
import { until } from '../../helpers/until.ts'

const sleeping = (seconds: string) => listProcesses().filter(({ pid }) => commandLine(pid).includes(`sleep\0${seconds}`))

/** Starts a shell as an OCI runtime would: with the limits of the marked process. */
function startMarked(script: string) {
  const [limit] = markExec<{ rlimits?: { type: string; soft: number; hard: number }[] }>({}).rlimits ?? []
  return spawn('sh', ['-c', `prlimit --locks=${limit?.hard} sh -c '${script}'; true`], { stdio: ['ignore', 'pipe', 'inherit'] })
}

describe('the mark of an exec', () => {
  test('is a limit that nothing else has, and not twice the same', () => {
    const limits = { type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }
    const marked = [1, 2].map(() => markExec({ rlimits: [limits] }).rlimits)
    for (const rlimits of marked)
      expect(rlimits).toEqual([limits, { type: 'RLIMIT_LOCKS', soft: expect.any(Number), hard: expect.any(Number) }])
    expect(marked[0]).not.toEqual(marked[1])
  })

  test('is not given to a process that has such a limit of its own, or gets one from this program', async () => {
    const own = { rlimits: [{ type: 'RLIMIT_LOCKS', soft: 7, hard: 7 }] }
    expect(markExec(own)).toBe(own)
    const script = `const { markExec } = await import('./src/host/exec-mark.ts'); console.log(JSON.stringify(markExec({})))`
    const node = [process.execPath, '--no-warnings', '--input-type=module', '-e', script]
    expect(await outputOf('prlimit', ['--locks=1000', ...node])).toBe('{}\n')
  })

  test('leads to what left its parent and its session, and to nothing of another exec', async () => {
    const [doomed, other] = ['77771', '77772'].map((seconds) => startMarked(`(setsid sleep ${seconds} &) ; echo begun; sleep ${seconds}`))
    for (const child of [doomed, other]) await once(child?.stdout as NodeJS.ReadableStream, 'data')
    await until('all run', () => sleeping('77771').length >= 2 && sleeping('77772').length >= 2)
    const before = sleeping('77772').length
    await killExec(doomed?.pid as number)
    expect(sleeping('77771')).toEqual([])
    expect(sleeping('77772')).toHaveLength(before)
    await killExec(other?.pid as number)
    expect(sleeping('77772')).toEqual([])
  })
})

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
