import { expect, test } from '@jest/globals'
import { OPAQUE_MARKER, whiteoutName, whiteoutRule } from '../../../src/archive/whiteout.ts'

test.each([
  ['a', { kind: 'ordinary' }],
  ['', { kind: 'ordinary' }],
  ['a/.whx', { kind: 'ordinary' }],
  ['a/x.wh.y', { kind: 'ordinary' }],
  ['.wh.x', { kind: 'whiteout', hides: 'x' }],
  ['a/.wh.x', { kind: 'whiteout', hides: 'x' }],
  ['a/.wh...x', { kind: 'whiteout', hides: '..x' }],
  ['.wh..wh..opq', { kind: 'opaque' }],
  ['a/.wh..wh..opq', { kind: 'opaque' }],
  ['.wh..wh.plnk', { kind: 'ignored' }],
  ['.wh..wh.plnk/1.2', { kind: 'ignored' }],
  ['a/.wh..wh..opq/b', { kind: 'ignored' }],
])('%j', (name, rule) => {
  expect(whiteoutRule(name.split('/'))).toEqual(rule)
})

test.each(['.wh.', 'a/.wh.', '.wh..', '.wh...', '.wh.a/b'])('refuses %j', (name) => {
  expect(() => whiteoutRule(name.split('/'))).toThrow(expect.objectContaining({ code: 'ERR_LAYER_INVALID' }))
})

test('the names that are written are the names that are read', () => {
  expect(whiteoutRule([whiteoutName('x')])).toEqual({ kind: 'whiteout', hides: 'x' })
  expect(whiteoutRule([OPAQUE_MARKER])).toEqual({ kind: 'opaque' })
})
