import { describe, expect, test } from '@jest/globals'
import { type ConmonPlan, conmonArguments } from '../../../../src/monitor/conmon/conmon-arguments.ts'
import { parseExitCode } from '../../../../src/monitor/conmon/exit-file.ts'

const PLAN: ConmonPlan = {
  id: 'c1',
  bundle: '/run/podlib/bundles/c1',
  exits: '/run/podlib/exits',
  persist: '/run/podlib/persist/c1',
  log: ['--log-path', 'k8s-file:/var/log/c1'],
  terminal: false,
  stdin: false,
  exitCommand: [],
  task: { type: 'create', name: 'web' },
}
const COMMON = ['--api-version', '1', '--sync', '--full-attach', '--cid', 'c1']
const PLACES = [
  '--container-pidfile',
  '/run/podlib/bundles/c1/pidfile',
  '--exit-dir',
  '/run/podlib/exits',
  '--persist-dir',
  '/run/podlib/persist/c1',
]

describe('conmonArguments', () => {
  test('of a container', () => {
    const own = ['--cuuid', 'c1', '--name', 'web', '--bundle', '/run/podlib/bundles/c1']
    expect(conmonArguments(PLAN)).toEqual([...COMMON, ...own, ...PLACES, '--log-path', 'k8s-file:/var/log/c1'])
  })

  test('of a process in a container', () => {
    const args = conmonArguments({ ...PLAN, task: { type: 'exec', session: 's1', processFile: '/p.json' } })
    expect(args).toEqual(expect.arrayContaining(['--cid', 'c1', '--cuuid', 's1', '--exec', '--exec-process-spec', '/p.json']))
    expect(args).not.toContain('--name')
  })

  test.each([
    [{ terminal: false, stdin: false }, []],
    [{ terminal: false, stdin: true }, ['--stdin']],
    [{ terminal: true, stdin: false }, ['--terminal']],
    [{ terminal: true, stdin: true }, ['--terminal']],
  ])('for %j has %j', (streams, expected) => {
    expect(conmonArguments({ ...PLAN, ...streams }).filter((argument) => ['--stdin', '--terminal'].includes(argument))).toEqual(expected)
  })

  test('passes each argument of the exit command on its own, also those that look like options', () => {
    const args = conmonArguments({ ...PLAN, exitCommand: ['/usr/bin/flock', '-n', 'a b', '--x=y'] })
    expect(args.slice(-5)).toEqual([
      '--exit-command',
      '/usr/bin/flock',
      '--exit-command-arg=-n',
      '--exit-command-arg=a b',
      '--exit-command-arg=--x=y',
    ])
  })
})

test.each([
  ['0', 0],
  ['137\n', 137],
  ['-1', -1],
  ['', undefined],
  ['x', undefined],
])('an exit file with %j means %p', (text, code) => expect(parseExitCode(text)).toBe(code))
