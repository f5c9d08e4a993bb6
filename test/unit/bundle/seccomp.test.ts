import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../src/bundle/capabilities.ts'
import { DEFAULT_SECCOMP_PROFILE } from '../../../src/bundle/default-seccomp.ts'
import { compileSeccomp } from '../../../src/bundle/seccomp.ts'
import type { SpecSeccomp } from '../../../src/spec/runtime.ts'
import type { SeccompProfile } from '../../../src/spec/seccomp-profile.ts'
import { validateSeccompProfile } from '../../../src/spec/validate-container.ts'
import { SECCOMP_PROFILE as DEBIAN } from '../../helpers/abilities.ts'
import { describeNeeding } from '../../helpers/test-needing.ts'

const TARGET = { capabilities: DEFAULT_CAPABILITIES, architecture: 'amd64', kernelVersion: '6.1.0-18-amd64' }

const profile = (syscalls: SeccompProfile['syscalls']): SeccompProfile => ({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: syscalls ?? [] })
const names = (compiled: SpecSeccomp) => compiled.syscalls?.flatMap((rule) => rule.names).sort()
const rule = (name: string, rest: object = {}) => ({ names: [name], action: 'SCMP_ACT_ALLOW', ...rest })

describe('the conditions of a profile', () => {
  test('on architectures compare Go’s names', () => {
    const rules = profile([
      rule('a', { includes: { arches: ['arm64'] } }),
      rule('b', { includes: { arches: ['amd64', 'x32'] } }),
      rule('c', { excludes: { arches: ['amd64'] } }),
    ])
    expect(names(compileSeccomp(rules, TARGET))).toEqual(['b'])
  })

  test('on capabilities need all to include, and any to exclude', () => {
    const caps = ['CAP_CHOWN', 'CAP_SYS_ADMIN']
    const rules = profile([
      rule('both', { includes: { caps } }),
      rule('one', { includes: { caps: ['CAP_CHOWN'] } }),
      rule('without', { excludes: { caps } }),
    ])
    expect(names(compileSeccomp(rules, TARGET))).toEqual(['one'])
    expect(names(compileSeccomp(rules, { ...TARGET, capabilities: caps }))).toEqual(['both', 'one'])
    expect(names(compileSeccomp(rules, { ...TARGET, capabilities: [] }))).toEqual(['without'])
  })

  test('on kernels compare numbers, not text', () => {
    const rules = profile([rule('new', { includes: { minKernel: '4.8' } }), rule('old', { excludes: { minKernel: '4.8' } })])
    const at = (kernelVersion: string) => names(compileSeccomp(rules, { ...TARGET, kernelVersion }))
    expect(at('4.18.0-305.el8')).toEqual(['new'])
    expect(at('4.8')).toEqual(['new'])
    expect(at('4.7.10')).toEqual(['old'])
    expect(at('10.1')).toEqual(['new'])
    expect(() => at('weird')).toThrow('is not a kernel version')
  })
})

describe('the rules of a profile', () => {
  test('carry their error number, given as a name or a number', () => {
    const compiled = compileSeccomp(
      {
        ...profile([
          rule('a', { action: 'SCMP_ACT_ERRNO', errnoRet: 1 }),
          rule('b', { action: 'SCMP_ACT_ERRNO', errno: 'EINVAL', errnoRet: 1 }),
        ]),
        defaultErrno: 'ENOSYS',
        defaultErrnoRet: 1,
      },
      TARGET,
    )
    expect(compiled.defaultErrnoRet).toBe(38)
    expect(compiled.syscalls).toEqual([
      { names: ['a'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
      { names: ['b'], action: 'SCMP_ACT_ERRNO', errnoRet: 22 },
    ])
    expect(() => compileSeccomp(profile([rule('a', { errno: 'EWHAT' })]), TARGET)).toThrow('unknown error name "EWHAT"')
  })

  test('with the same answer become one, and the first answer of a name stays', () => {
    const compiled = compileSeccomp(
      profile([
        rule('a'),
        rule('b'),
        { name: 'a', action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
        rule('c', { args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] }),
      ]),
      TARGET,
    )
    expect(compiled.syscalls).toEqual([
      { names: ['a', 'b'], action: 'SCMP_ACT_ALLOW' },
      { names: ['c'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 1, valueTwo: 0, op: 'SCMP_CMP_EQ' }] },
    ])
  })

  test('name the architectures of the machine', () => {
    expect(compileSeccomp(DEFAULT_SECCOMP_PROFILE, TARGET).architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'])
    expect(compileSeccomp(DEFAULT_SECCOMP_PROFILE, { ...TARGET, architecture: 'arm64' }).architectures).toEqual([
      'SCMP_ARCH_AARCH64',
      'SCMP_ARCH_ARM',
    ])
    expect(compileSeccomp({ ...profile([]), architectures: ['SCMP_ARCH_X86'] }, TARGET).architectures).toEqual(['SCMP_ARCH_X86'])
  })
})

describe('podlib’s own profile', () => {
  test('is a valid one', () => {
    expect(validateSeccompProfile(DEFAULT_SECCOMP_PROFILE)).toBe(DEFAULT_SECCOMP_PROFILE)
  })

  test('has no name twice', () => {
    for (const { names: all = [] } of DEFAULT_SECCOMP_PROFILE.syscalls ?? []) expect(new Set(all).size).toBe(all?.length)
  })
})

describeNeeding(['seccomp profile of containers-common'], 'podlib’s own profile', () => {
  test.each([
    ['the default capabilities', DEFAULT_CAPABILITIES],
    ['no capabilities', []],
    ['all capabilities', ALL_CAPABILITIES],
  ])('answers as the one of containers-common does, with %s', (_name, capabilities) => {
    const theirs = validateSeccompProfile(JSON.parse(readFileSync(DEBIAN, 'utf8')), DEBIAN)
    const answers = (from: SeccompProfile) =>
      new Map(
        compileSeccomp(from, { ...TARGET, capabilities })
          .syscalls?.filter(({ args }) => !args)
          .flatMap(({ names: all, action, errnoRet }) => all.map((name) => [name, `${action} ${errnoRet}`])),
      )
    const ours = answers(DEFAULT_SECCOMP_PROFILE)
    for (const [name, answer] of answers(theirs)) if (name !== 'socket') expect([name, ours.get(name)]).toEqual([name, answer])
    const added = [...ours.keys()].filter((name) => !answers(theirs).has(name)).sort()
    expect(added).toEqual(
      'cachestat fchmodat2 futex_requeue futex_wait futex_waitv futex_wake io_pgetevents_time64 map_shadow_stack mseal quotactl_fd'.split(
        ' ',
      ),
    )
  })
})

test('a profile that is malformed is refused with the place', () => {
  expect(() => validateSeccompProfile({ defaultAction: 'ALLOW' }, 'seccomp profile /x')).toThrow(
    'seccomp profile /x: /defaultAction must be one of',
  )
  expect(() =>
    validateSeccompProfile({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: 'read', action: 'SCMP_ACT_ALLOW' }] }),
  ).toThrow('/syscalls/0/names must be array or null')
})
