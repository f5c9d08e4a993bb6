import { expect, test } from '@jest/globals'
import { inChildCgroup, watchOom } from '../../../src/host/oom-watch.ts'

test('a container is moved to a child of its cgroup, and nothing else of it is changed', () => {
  const spec = { ociVersion: '1.0.2', root: { path: '/r' }, linux: { cgroupsPath: '/podlib/c1', sysctl: { a: '1' } } }
  expect(JSON.parse(inChildCgroup(JSON.stringify(spec)))).toEqual({
    ...spec,
    linux: { cgroupsPath: '/podlib/c1/container', sysctl: { a: '1' } },
  })
  expect(inChildCgroup('{"linux":{}}')).toBe('{"linux":{}}')
})

test('without a cgroup nothing is watched', async () => {
  const watch = watchOom(undefined)
  expect(watch.adapt('text')).toBe('text')
  expect(await watch.happened()).toBe(false)
  watch.close()
})
