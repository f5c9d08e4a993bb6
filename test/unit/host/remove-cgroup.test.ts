import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { cgroupDirectory, readCgroupLayout } from '../../../src/host/cgroup.ts'
import { removeCgroup } from '../../../src/host/remove-cgroup.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const layout = readCgroupLayout()
const directoryOf = (path: string) => cgroupDirectory(layout, path, 'memory') as string

testNeeding(['root'], 'removes a cgroup with all below it from every hierarchy', async () => {
  const path = `/podlib-remove-${process.pid}`
  for (const mount of new Set(Object.values(layout.controllers))) mkdirSync(join(mount, path), { recursive: true })
  mkdirSync(join(directoryOf(path), 'a/b'), { recursive: true })
  await removeCgroup(layout, path)
  expect(Object.values(layout.controllers).filter((mount) => existsSync(join(mount, path)))).toEqual([])
})

testNeeding(['root'], 'waits for a process that was killed to leave it', async () => {
  const path = `/podlib-wait-${process.pid}`
  mkdirSync(directoryOf(path))
  const child = spawn('sleep', ['1000'])
  writeFileSync(join(directoryOf(path), 'cgroup.procs'), String(child.pid))
  setTimeout(() => child.kill('SIGKILL'), 30)
  await removeCgroup(layout, path)
  expect(existsSync(directoryOf(path))).toBe(false)
})

testNeeding(['root'], 'is content when there is none', async () => {
  await removeCgroup(layout, `/podlib-none-${process.pid}`)
})
