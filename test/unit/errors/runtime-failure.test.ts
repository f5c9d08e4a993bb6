import { describe, expect, test } from '@jest/globals'
import { runtimeFailure, runtimeMessage } from '../../../src/errors/runtime-failure.ts'

describe('runtimeFailure', () => {
  test.each([
    ['executable file `/x` not found in $PATH: No such file or directory', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['runc run failed: unable to start container process: exec: "/x": stat /x: no such file or directory', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['runc run failed: exec: "x": executable file not found in $PATH', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['exec container process (missing dynamic library?) `/x`: No such file or directory', 'ERR_OCI_COMMAND_NOT_FOUND'],
    ['open executable: Permission denied', 'ERR_OCI_RUNTIME_PERMISSION'],
    ['open executable: Operation not permitted', 'ERR_OCI_RUNTIME_PERMISSION'],
    ['exec container process `/x`: Exec format error', 'ERR_OCI_RUNTIME_PERMISSION'],
    ['container does not exist', 'ERR_OCI_CONTAINER_NOT_FOUND'],
    ['exec failed: container does not exist', 'ERR_OCI_CONTAINER_NOT_FOUND'],
    ['error opening file `/run/crun/x/status`: No such file or directory', 'ERR_OCI_CONTAINER_NOT_FOUND'],
    ["cannot open directory '/run/crun/x': No such file or directory", 'ERR_OCI_CONTAINER_NOT_FOUND'],
    ['container `x` already exists', 'ERR_CONTAINER_EXISTS'],
    ['runc create failed: container with given ID already exists', 'ERR_CONTAINER_EXISTS'],
    ['kill container: No such process', 'ERR_CONTAINER_STATE'],
    ['the container `x` is not running', 'ERR_CONTAINER_STATE'],
    ['container not running', 'ERR_CONTAINER_STATE'],
    ['cannot start an already running container', 'ERR_CONTAINER_STATE'],
    ['cannot open `/run/crun/x/exec.fifo`: No such file or directory', 'ERR_CONTAINER_STATE'],
    ['cannot delete container x that is not stopped: running', 'ERR_CONTAINER_STATE'],
    ['cgroups in hybrid mode not supported, drop all controllers from cgroupv2', 'ERR_CGROUP_LAYOUT'],
    ['something else', 'ERR_OCI_RUNTIME'],
    ['', 'ERR_OCI_RUNTIME'],
  ])('reads %j as %s', (msg, code) => {
    const log = JSON.stringify({ level: 'error', msg, time: 'now' })
    expect(runtimeFailure({ attempt: 'start it', log })).toMatchObject({ code })
  })

  test('says what was tried, what the runtime said, and how to mend a hybrid host', () => {
    const error = runtimeFailure({
      attempt: 'create the container c1',
      log: '{"level":"error","msg":"cgroups in hybrid mode not supported"}',
    })
    expect(error.message).toMatch(
      /^cannot create the container c1: cgroups in hybrid mode not supported; .*mount -t cgroup -o hugetlb hugetlb/,
    )
  })

  test('takes the last error of a log, or the last line of what is no log', () => {
    expect(runtimeMessage('{"level":"error","msg":"first"}\n{"level":"error","msg":"second"}\n{"level":"warning","msg":"third"}\n')).toBe(
      'second',
    )
    expect(runtimeMessage('null\n1\n{"level":"error"}')).toBe('{"level":"error"}')
    expect(runtimeMessage('a\nb\n')).toBe('b')
    expect(runtimeMessage('')).toBe('')
  })

  test("takes the reason that crun's child gives, whichever of the two processes writes last", () => {
    const [parent, child] = ['fail startup', 'setns(pid=7, CLONE_NEWIPC): Operation not permitted']
    const log = (...messages: string[]) => messages.map((msg) => JSON.stringify({ level: 'error', msg })).join('\n')
    expect(runtimeMessage(log(parent, child))).toBe(child)
    expect(runtimeMessage(log(child, parent))).toBe(child)
    expect(runtimeMessage(log(parent))).toBe(parent)
  })
})
