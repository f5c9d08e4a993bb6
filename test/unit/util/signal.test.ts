import { expect, test } from '@jest/globals'
import { parseSignal, signalName } from '../../../src/util/signal.ts'

test.each([
  [15, 15],
  ['15', 15],
  ['TERM', 15],
  ['SIGTERM', 15],
  ['sigquit', 3],
  ['SIGRTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX-1', 63],
  ['64', 64],
])('%p is signal %p', (text, number) => {
  expect(parseSignal(text)).toBe(number)
})

test.each(['0', '65', '', 'SIG', 'NOPE', 'SIGRTMIN+31', 'RTMIN-1', '1;2', '__proto__', 'constructor', -1, 1.5])(
  '%p is no signal',
  (text) => {
    expect(parseSignal(text)).toBeUndefined()
  },
)

test('a signal has a name', () => {
  expect([15, 9, 34, 37, 64, 99].map(signalName)).toEqual(['SIGTERM', 'SIGKILL', 'SIGRTMIN', 'SIGRTMIN+3', 'SIGRTMIN+30', '99'])
})
