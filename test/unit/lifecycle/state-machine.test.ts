import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../src/errors/errors.ts'
import { type Evidence, reconcile } from '../../../src/lifecycle/reconcile.ts'
import { type LifecycleEvent, transition } from '../../../src/lifecycle/state-machine.ts'
import type { ContainerStatus } from '../../../src/state/transition.ts'

const STATUSES: ContainerStatus[] = ['configured', 'created', 'running', 'paused', 'stopping', 'stopped', 'exited', 'removing']
const EXIT = { exitCode: 7, exitSignal: null, oomKilled: false, finishedAt: 5 }
const PROCESS = { pid: 10, pidStartTime: 20, monitorPid: 11, monitorStartTime: 21, bootId: 'b' }

const EVENTS: [LifecycleEvent, Partial<Record<ContainerStatus, ContainerStatus>>][] = [
  [
    { type: 'initialized', ...PROCESS },
    { configured: 'created', exited: 'created' },
  ],
  [{ type: 'started', at: 1 }, { created: 'running' }],
  [{ type: 'ran-attached', at: 1, bootId: 'b' }, { configured: 'running' }],
  [{ type: 'paused' }, { running: 'paused' }],
  [{ type: 'resumed' }, { paused: 'running' }],
  [{ type: 'stop-requested' }, { created: 'stopping', running: 'stopping', paused: 'stopping' }],
  [
    { type: 'exited', ...EXIT },
    { created: 'stopped', running: 'stopped', paused: 'stopped', stopping: 'stopped' },
  ],
  [{ type: 'cleaned' }, { stopped: 'exited' }],
  [
    { type: 'rebooted', at: 1 },
    { created: 'configured', running: 'exited', paused: 'exited', stopping: 'exited', stopped: 'exited' },
  ],
  [
    { type: 'removal-begun' },
    { configured: 'removing', created: 'removing', stopped: 'removing', exited: 'removing', removing: 'removing' },
  ],
]

describe('the state machine', () => {
  const cells = EVENTS.flatMap(([event, row]) => STATUSES.map((status) => ({ type: event.type, event, status, to: row[status] })))
  test.each(cells)('$type in $status leads to $to', ({ event, status, to }) => {
    const act = () => transition({ id: 'c'.repeat(64), status }, event)
    if (to !== undefined) return expect(act()).toMatchObject({ from: status, to })
    try {
      act()
    } catch (error) {
      const running = status === 'running' && (event.type === 'started' || event.type === 'initialized')
      return expect(isPodlibError(error, running ? 'ERR_CONTAINER_RUNNING' : 'ERR_CONTAINER_STATE')).toBe(true)
    }
    throw new Error('it was allowed')
  })

  test('an exit forgets the processes and keeps how it ended', () => {
    const { changes } = transition({ id: 'c', status: 'running' }, { type: 'exited', ...EXIT })
    expect(changes).toMatchObject({ pid: null, monitorPid: null, exitCode: 7, finishedAt: 5, error: null })
  })

  test('a new start forgets how the last one ended', () => {
    const { changes } = transition({ id: 'c', status: 'exited' }, { type: 'initialized', ...PROCESS })
    expect(changes).toMatchObject({ pid: 10, exitCode: null, finishedAt: null, oomKilled: false, stoppedByUser: false })
  })
})

describe('reconcile', () => {
  const evidence = (facts: Partial<Evidence>): Evidence => ({
    sameBoot: true,
    exit: undefined,
    processAlive: true,
    programRuns: false,
    now: 99,
    ...facts,
  })

  test.each(['created', 'running', 'paused', 'stopping'] as const)('sees the exit of a %s container in the exit record', (status) => {
    expect(reconcile({ status, attached: false }, evidence({ exit: EXIT, processAlive: false }))).toEqual({ type: 'exited', ...EXIT })
  })

  test.each(['created', 'running', 'paused', 'stopping'] as const)(
    'leaves a %s container alone while its process lives, also without a monitor',
    (status) => {
      expect(reconcile({ status, attached: false }, evidence({}))).toBeUndefined()
    },
  )

  test('sees that a created container was started in its process running the program', () => {
    const runs = (status: ContainerStatus) => reconcile({ status, attached: false }, evidence({ programRuns: true }))
    expect(runs('created')).toEqual({ type: 'started', at: 99 })
    for (const status of ['running', 'paused', 'stopping'] as const) expect(runs(status)).toBeUndefined()
  })

  test('calls the exit unknown when process and monitor are gone without a record', () => {
    expect(reconcile({ status: 'running', attached: false }, evidence({ processAlive: false }))).toMatchObject({
      type: 'exited',
      exitCode: -1,
      finishedAt: 99,
    })
  })

  test.each(['created', 'running', 'paused', 'stopping', 'stopped'] as const)('resets a %s container after a reboot', (status) => {
    expect(reconcile({ status, attached: false }, evidence({ sameBoot: false, processAlive: false }))).toEqual({ type: 'rebooted', at: 99 })
  })

  test.each(['configured', 'exited', 'removing', 'stopped'] as const)('has nothing to say about a %s container', (status) => {
    expect(reconcile({ status, attached: false }, evidence({ processAlive: false }))).toBeUndefined()
  })

  test('a reboot changes nothing for a container that held nothing', () => {
    for (const status of ['configured', 'exited', 'removing'] as const) {
      expect(reconcile({ status, attached: false }, evidence({ sameBoot: false }))).toBeUndefined()
    }
  })
})
