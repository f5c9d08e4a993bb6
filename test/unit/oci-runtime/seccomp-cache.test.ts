import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { SeccompCache } from '../../../src/oci-runtime/seccomp-cache.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const PROFILE = { defaultAction: 'SCMP_ACT_ALLOW' }
const FILTER = Buffer.from([6, 0, 0, 0, 0, 0, 255, 127])

describe('SeccompCache', () => {
  const newDirectory = temporaryDirectories()

  function setUp() {
    const base = newDirectory()
    const options = { directory: join(base, 'cache'), program: join(base, 'crun'), runtimeRoot: join(base, 'state') }
    writeFileSync(options.program, 'the program')
    const leaveFilter = (id: string) => {
      mkdirSync(join(options.runtimeRoot, id), { recursive: true })
      writeFileSync(join(options.runtimeRoot, id, 'seccomp.bpf'), FILTER)
    }
    return { options, cache: new SeccompCache(options), leaveFilter }
  }

  test('keeps the filter of the first container with a profile, readable by the owner only', () => {
    const { options, cache, leaveFilter } = setUp()
    expect(cache.find('c1', PROFILE)).toBeUndefined()
    expect(cache.wants('c1')).toBe(true)
    leaveFilter('c1')
    cache.harvest('c1')
    expect(cache.wants('c1')).toBe(false)
    expect(cache.find('c2', PROFILE)).toBe(FILTER.toString('base64'))
    expect(cache.wants('c2')).toBe(false)
    const [name = ''] = readdirSync(options.directory)
    expect(statSync(join(options.directory, name)).mode & 0o777).toBe(0o600)
    expect(new SeccompCache(options).find('c3', PROFILE)).toBe(FILTER.toString('base64'))
  })

  test.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut', (whole: Buffer) => whole.subarray(0, 5)],
    ['cut between two instructions', (whole: Buffer) => whole.subarray(8)],
    ['all zeros', (whole: Buffer) => Buffer.alloc(whole.length)],
    ['one bit another', (whole: Buffer) => Buffer.from(whole.map((byte, i) => (i === 3 ? byte ^ 1 : byte)))],
  ])('removes a filter that a crash has left %s, and keeps the next one', (_how, damage) => {
    const { options, cache, leaveFilter } = setUp()
    cache.find('c1', PROFILE)
    leaveFilter('c1')
    cache.harvest('c1')
    const [name = ''] = readdirSync(options.directory)
    const path = join(options.directory, name)
    writeFileSync(path, damage(readFileSync(path)))
    const next = new SeccompCache(options)
    expect(next.find('c2', PROFILE)).toBeUndefined()
    expect(readdirSync(options.directory)).toEqual([])
    leaveFilter('c2')
    next.harvest('c2')
    expect(new SeccompCache(options).find('c3', PROFILE)).toBe(FILTER.toString('base64'))
  })

  test('keeps nothing that is no filter', () => {
    const { options, cache, leaveFilter } = setUp()
    cache.find('c1', PROFILE)
    leaveFilter('c1')
    writeFileSync(join(options.runtimeRoot, 'c1', 'seccomp.bpf'), 'half a')
    cache.harvest('c1')
    expect(cache.find('c2', PROFILE)).toBeUndefined()
  })

  test('asks for another filter for another profile and for another build of the program', () => {
    const { options, cache, leaveFilter } = setUp()
    cache.find('c1', PROFILE)
    leaveFilter('c1')
    cache.harvest('c1')
    expect(cache.find('c2', { ...PROFILE, flags: ['SECCOMP_FILTER_FLAG_LOG'] })).toBeUndefined()
    utimesSync(options.program, new Date(0), new Date(0))
    expect(cache.find('c3', PROFILE)).toBeUndefined()
  })

  test('keeps the filter of a container that is gone by the time its run ends', async () => {
    const { options, cache, leaveFilter } = setUp()
    cache.find('c1', PROFILE)
    let end = () => {}
    const run = new Promise<void>((resolve) => {
      end = resolve
    })
    const harvest = cache.harvestWhileRunning('c1', run)
    leaveFilter('c1')
    await new Promise((resolve) => setTimeout(resolve, 20))
    rmSync(options.runtimeRoot, { recursive: true })
    end()
    await harvest
    expect(cache.find('c2', PROFILE)).toBe(FILTER.toString('base64'))
  })

  test('keeps nothing of a run that failed: the filter may be half written', async () => {
    const { cache, leaveFilter } = setUp()
    cache.find('c1', PROFILE)
    leaveFilter('c1')
    await cache.harvestWhileRunning('c1', Promise.reject(new Error('no')))
    expect(cache.find('c2', PROFILE)).toBeUndefined()
    expect(cache.wants('c1')).toBe(false)
  })
})
