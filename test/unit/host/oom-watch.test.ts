import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { countOomKills, inChildCgroup, watchOom } from '../../../src/host/oom-watch.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directories = temporaryDirectories()

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

test('kills for want of memory are counted from the beginning of a process to its end', () => {
  const directory = directories()
  const write = (kills: number) => {
    writeFileSync(join(directory, 'memory.oom_control'), `oom_kill_disable 0\nunder_oom 0\noom_kill ${kills}\n`)
    writeFileSync(join(directory, 'memory.events'), `low 0\nmax 9\noom 3\noom_kill ${kills}\noom_group_kill 0\n`)
  }
  write(2)
  const kills = countOomKills(directory)
  expect(kills()).toBe(0)
  write(5)
  expect(kills()).toBe(3)
  rmSync(directory, { recursive: true })
  expect(kills()).toBe(0)
  expect(countOomKills(undefined)()).toBe(0)
})
