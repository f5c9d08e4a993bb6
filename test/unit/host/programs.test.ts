import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { findProgram, programCandidates } from '../../../src/host/programs.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

describe('findProgram', () => {
  const newDirectory = temporaryDirectories()

  test('looks at given paths first, then at PATH, then where systems keep programs', () => {
    const tried = programCandidates('crun', { candidates: ['/opt/crun'], path: '/my/bin:relative::/usr/bin' })
    expect(tried.slice(0, 3)).toEqual(['/opt/crun', '/my/bin/crun', '/usr/bin/crun'])
    expect(tried.every((path) => path.startsWith('/'))).toBe(true)
    expect(new Set(tried).size).toBe(tried.length)
  })

  test('takes an absolute path for what it is', () => {
    expect(programCandidates('/opt/my-runtime', { path: '/bin' })).toEqual(['/opt/my-runtime'])
  })

  test('passes over what is not executable, and over directories', () => {
    const [first, second, third] = [newDirectory(), newDirectory(), newDirectory()]
    writeFileSync(join(first, 'tool'), '', { mode: 0o644 })
    mkdirSync(join(second, 'tool'))
    writeFileSync(join(third, 'tool'), '')
    chmodSync(join(third, 'tool'), 0o755)
    expect(findProgram('tool', { path: `${first}:${second}:${third}` })).toBe(join(third, 'tool'))
  })

  test('names the packages of a program that is missing', () => {
    const missing = {
      code: 'ERR_PROGRAM_MISSING',
      message: expect.stringContaining('Debian: uidmap, Fedora: shadow-utils, Alpine: shadow-uidmap'),
    }
    expect(() => findProgram('/no/such/newuidmap')).toThrow(expect.objectContaining(missing))
  })
})
