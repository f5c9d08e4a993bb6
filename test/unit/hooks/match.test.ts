import { describe, expect, test } from '@jest/globals'
import { parseHook } from '../../../src/hooks/hook.ts'
import { applyHooks, conditionsHold, type HookFacts, matchHooks } from '../../../src/hooks/match.ts'
import type { HookConditions } from '../../../src/spec/hook-file.ts'

const FACTS: HookFacts = { annotations: { 'io.team': 'blue', other: 'x' }, args: ['/usr/bin/nginx', '-t'], hasBindMounts: true }

function hook(when: HookConditions, rest: { name?: string; stages?: string[]; path?: string; extensionStages?: string[] } = {}) {
  const { name = '10-hook.json', stages = ['createRuntime'], path = '/usr/bin/hook', extensionStages = [] } = rest
  return parseHook(JSON.stringify({ version: '1.0.0', hook: { path }, when, stages }), { name, file: `/hooks/${name}`, extensionStages })
}

function old(content: object) {
  return parseHook(JSON.stringify({ hook: '/usr/bin/old', stages: ['prestart'], ...content }), {
    name: 'old.json',
    file: '/hooks/old.json',
    extensionStages: [],
  })
}

describe('conditions of a 1.0.0 hook', () => {
  const holds = (when: HookConditions, facts: Partial<HookFacts> = {}) => conditionsHold(hook(when).when, { ...FACTS, ...facts })

  test.each<[string, HookConditions, Partial<HookFacts>, boolean]>([
    ['nothing given', {}, {}, false],
    ['always', { always: true }, {}, true],
    ['not always', { always: false }, {}, false],
    ['bind mounts wanted and there', { hasBindMounts: true }, {}, true],
    ['bind mounts wanted and not there', { hasBindMounts: true }, { hasBindMounts: false }, false],
    ['bind mounts not wanted, which never matches', { hasBindMounts: false }, { hasBindMounts: false }, false],
    ['an annotation', { annotations: { '^io\\.team$': '^blue$' } }, {}, true],
    ['an annotation with another value', { annotations: { '^io\\.team$': 'red' } }, {}, false],
    ['two annotations, one missing', { annotations: { team: 'blue', nope: 'x' } }, {}, false],
    ['a key of one annotation and the value of another', { annotations: { team: '^x$' } }, {}, false],
    ['an unanchored annotation', { annotations: { tea: 'lu' } }, {}, true],
    ['a command', { commands: ['^/bin/sh$', 'nginx$'] }, {}, true],
    ['another command', { commands: ['^nginx'] }, {}, false],
    ['arguments, which do not count', { commands: ['-t'] }, {}, false],
    ['a command without a process', { commands: ['nginx'] }, { args: undefined }, false],
    ['always and a command without a process', { always: true, commands: ['nope'] }, { args: undefined }, true],
    ['everything, all true', { always: true, hasBindMounts: true, commands: ['nginx'], annotations: { team: 'blue' } }, {}, true],
    ['everything, one false', { always: true, hasBindMounts: true, commands: ['nope'], annotations: { team: 'blue' } }, {}, false],
    ['an empty list of commands and always', { always: true, commands: [] }, {}, true],
  ])('%s', (_name, when, facts, expected) => {
    expect(holds(when, facts)).toBe(expected)
  })

  test('asking about the command of a process without one is an error', () => {
    expect(() => holds({ commands: ['x'] }, { args: [] })).toThrow('process.args must have at least one entry')
  })
})

describe('conditions of a 0.1.0 hook', () => {
  const holds = (content: object, facts: Partial<HookFacts> = {}) => conditionsHold(old(content).when, { ...FACTS, ...facts })

  test.each<[string, object, Partial<HookFacts>, boolean]>([
    ['nothing given', {}, {}, false],
    ['one true of two', { cmds: ['nope'], annotations: ['blue'] }, {}, true],
    ['none true', { cmds: ['nope'], annotations: ['green'] }, {}, false],
    ['bind mounts not wanted is just not true', { hasbindmounts: false, cmd: ['nginx'] }, {}, true],
    ['values of annotations whatever the key', { annotation: ['red', '^x$'] }, {}, true],
    ['bind mounts', { hasbindmounts: true }, {}, true],
  ])('%s', (_name, content, facts, expected) => {
    expect(holds(content, facts)).toBe(expected)
  })

  test('has arguments only if it says so, and the path before them', () => {
    expect(old({ arguments: ['a', 'b'] }).hook).toEqual({ path: '/usr/bin/old', args: ['/usr/bin/old', 'a', 'b'] })
    expect(old({}).hook).toEqual({ path: '/usr/bin/old' })
  })
})

describe('matching hooks', () => {
  test('run in the order of their lower-case names by code point', () => {
    const names = ['02-x.json', '01-UPPERCASE.json', '01-my-hook.json', 'ä.json', 'z.json', 'a_b.json', 'a-b.json']
    const hooks = names.map((name) => hook({ always: true }, { name, path: `/${name}` }))
    const { spec } = matchHooks(hooks, FACTS)
    expect(spec.createRuntime?.map(({ path }) => path.slice(1))).toEqual([
      '01-my-hook.json',
      '01-UPPERCASE.json',
      '02-x.json',
      'a-b.json',
      'a_b.json',
      'z.json',
      'ä.json',
    ])
  })

  test('have an empty environment if they name none, and prestart becomes createRuntime', () => {
    const { spec } = matchHooks([hook({ always: true }, { stages: ['prestart', 'poststop'] })], FACTS)
    expect(spec).toEqual({ createRuntime: [{ path: '/usr/bin/hook', env: [] }], poststop: [{ path: '/usr/bin/hook', env: [] }] })
  })

  test('of extension stages are handed back, even if the stage is one of OCI’s', () => {
    const extensionStages = ['precreate', 'poststop']
    const matched = matchHooks(
      [hook({ always: true }, { stages: ['precreate', 'poststop', 'poststart'], extensionStages })],
      FACTS,
      extensionStages,
    )
    expect(Object.keys(matched.extension)).toEqual(['precreate', 'poststop'])
    expect(Object.keys(matched.spec)).toEqual(['poststart'])
  })

  test('are put behind those that a configuration has', () => {
    const spec = { ociVersion: '1.0.2', root: { path: '/x' }, hooks: { poststop: [{ path: '/first' }] } }
    const applied = applyHooks(spec, { poststop: [{ path: '/second', env: [] }] })
    expect(applied.hooks?.poststop?.map(({ path }) => path)).toEqual(['/first', '/second'])
    expect(spec.hooks.poststop).toHaveLength(1)
    expect(applyHooks({ ociVersion: '1.0.2', root: { path: '/x' } }, {})).not.toHaveProperty('hooks')
  })
})

describe('a hook file', () => {
  const parse = (content: unknown) =>
    parseHook(typeof content === 'string' ? content : JSON.stringify(content), {
      name: 'a.json',
      file: '/h/a.json',
      extensionStages: ['precreate'],
    })
  const base = { version: '1.0.0', hook: { path: '/bin/h' }, when: { always: true }, stages: ['poststart'] }

  test.each<[unknown, string]>([
    ['{', 'hook file /h/a.json: not JSON'],
    [{ ...base, version: '2.0.0' }, 'unrecognized hook version "2.0.0", expected \'1.0.0\''],
    [{ ...base, stages: undefined }, "/h/a.json lacks the field 'stages'"],
    [{ ...base, stages: ['nope'] }, 'unknown stage "nope"'],
    [{ ...base, stages: null }, '/stages must be array'],
    [{ ...base, hook: { path: 'bin/h' } }, 'is not absolute'],
    [{ ...base, hook: { path: '' } }, '/hook/path is too short'],
    [{ ...base, hook: { path: '/bin/h', timeout: 0 } }, '/hook/timeout must be >= 1'],
    [{ ...base, when: { annotations: ['x'] } }, '/when/annotations must be object'],
    [{ ...base, when: { commands: ['('] } }, 'invalid pattern "("'],
    [{ ...base, when: { commands: ['(?=x)'] } }, 'look-around is not part of RE2 syntax'],
    [{ ...base, when: { commands: ['(a)\\1'] } }, 'back-references are not part of RE2 syntax'],
    [{ ...base, wehn: {} }, "has the unknown field 'wehn'"],
    [[], 'must be object'],
    [null, 'must be object'],
    [{ hook: '/x', stages: ['poststop'], stage: ['poststop'] }, "has both 'stages' and 'stage'"],
    [{ hook: '/x', cmd: ['a'], cmds: ['a'], stage: ['poststop'] }, "has both 'cmds' and 'cmd'"],
    [{ hook: '/x' }, "lacks the field 'stages'"],
    [{ stages: ['poststop'] }, "lacks the field 'hook'"],
    [{ version: '0.1.0', hook: '/x', stages: ['poststop'], always: true }, "has the unknown field 'always'"],
  ])('like %p is refused', (content, message) => {
    expect(() => parse(content)).toThrow(expect.objectContaining({ code: 'ERR_HOOK_INVALID', message: expect.stringContaining(message) }))
  })

  test('may use what Go’s patterns have and JavaScript’s write differently', () => {
    const commands = (...patterns: string[]) => conditionsHold(parse({ ...base, when: { commands: patterns } }).when, FACTS)
    expect(commands('(?i)NGINX')).toBe(true)
    expect(commands('^/usr/[[:alpha:]]+/nginx$')).toBe(true)
    expect(commands('\\A/usr/bin/(?P<name>nginx)\\z')).toBe(true)
    expect(commands('[[:digit:]]')).toBe(false)
    expect(() => commands('[[:nope:]]')).toThrow('unknown character class')
  })
})
