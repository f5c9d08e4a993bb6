import { expect, test } from '@jest/globals'
import { exitStatus, shellExitCode } from '../../../src/host/exit-status.ts'

test.each([
  [0, null],
  [7, null],
  [128, null],
  [129, 'SIGHUP'],
  [137, 'SIGKILL'],
  [143, 'SIGTERM'],
  [192, 'SIGRTMIN+30'],
  [193, null],
  [255, null],
  [-1, null],
])('exit code %d means signal %s', (exitCode, exitSignal) => {
  expect(exitStatus(exitCode)).toEqual({ exitCode, exitSignal })
})

test('a death by signal is 128 and its number', () => {
  expect(shellExitCode({ exitCode: 3, signal: null })).toBe(3)
  expect(shellExitCode({ exitCode: null, signal: 9 })).toBe(137)
})
