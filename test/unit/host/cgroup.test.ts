import { describe, expect, test } from '@jest/globals'
import {
  cgroupDirectory,
  parseCgroup1Stats,
  parseCgroup2Stats,
  parseCgroupLayout,
  readCgroupLayout,
  readCgroupStats,
} from '../../../src/host/cgroup.ts'

const HYBRID = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`

describe('parseCgroupLayout', () => {
  test('takes a hybrid host for v1', () => {
    const layout = parseCgroupLayout(HYBRID, false)
    expect(layout).toMatchObject({ version: 1, unified: '/sys/fs/cgroup/unified' })
    expect(cgroupDirectory(layout, '/podlib/x', 'cpuacct')).toBe('/sys/fs/cgroup/cpu,cpuacct/podlib/x')
    expect(cgroupDirectory(layout, '/podlib/x', 'memory')).toBe('/sys/fs/cgroup/memory/podlib/x')
    expect(cgroupDirectory(layout, '/podlib/x', 'pids')).toBeUndefined()
  })

  test('knows one hierarchy with v2', () => {
    const layout = parseCgroupLayout('cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n', true)
    expect(layout).toEqual({ version: 2, controllers: {}, unified: '/sys/fs/cgroup' })
    expect(cgroupDirectory(layout, 'podlib/x', 'memory')).toBe('/sys/fs/cgroup/podlib/x')
  })

  test('reads the layout of this host', () => {
    const layout = readCgroupLayout()
    expect(layout.version === 2 ? layout.unified : layout.controllers.memory).toMatch(/^\/sys\/fs\/cgroup/)
  })
})

describe('statistics', () => {
  const reader = (files: Record<string, string>) => (file: string) => files[file]

  test('of v2 are in nanoseconds and bytes, without reclaimable cache', () => {
    const files = {
      'cpu.stat': 'usage_usec 1500\nuser_usec 1000\n',
      'memory.current': '1000000\n',
      'memory.stat': 'anon 5\ninactive_file 400000\n',
      'memory.max': 'max\n',
      'pids.current': '3\n',
      'io.stat': '8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n',
    }
    expect(parseCgroup2Stats(reader(files))).toEqual({ cpuNs: 1_500_000, memoryBytes: 600_000, pids: 3, readBytes: 11, writtenBytes: 22 })
  })

  test('of v1 are the same', () => {
    const files: Record<string, string> = {
      'cpuacct.usage': '1500000\n',
      'memory.usage_in_bytes': '1000000\n',
      'memory.stat': 'cache 7\ntotal_inactive_file 400000\n',
      'memory.limit_in_bytes': '9223372036854771712\n',
      'pids.current': '3\n',
      'blkio.throttle.io_service_bytes': '8:0 Read 11\n8:0 Write 22\n8:0 Sync 33\n8:0 Total 33\nTotal 33\n',
    }
    const read = (_controller: string, file: string) => files[file]
    expect(parseCgroup1Stats(read)).toEqual({ cpuNs: 1_500_000, memoryBytes: 600_000, pids: 3, readBytes: 11, writtenBytes: 22 })
    expect(parseCgroup1Stats((_, file) => (file === 'memory.limit_in_bytes' ? '33554432\n' : undefined))).toEqual({
      memoryLimitBytes: 33_554_432,
    })
  })

  test('of a cgroup that is gone are none', () => {
    expect(readCgroupStats(readCgroupLayout(), '/podlib-test/never-was')).toBeUndefined()
  })
})
