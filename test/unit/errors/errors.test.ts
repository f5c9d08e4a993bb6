import { describe, expect, test } from '@jest/globals'
import { errorCode, errorMessage, fromWireError, isPodlibError, PodlibError, toWireError } from '../../../src/errors/errors.ts'

const PROGRAM = { argv: ['crun', 'start', 'x'], exitCode: 1, signal: null, stderr: 'no' }

describe('a PodlibError', () => {
  test('knows what kind of thing went wrong from its code', () => {
    expect(new PodlibError('ERR_CONTAINER_NOT_FOUND', 'gone').kind).toBe('not-found')
  })

  test('is told from other errors, also by its code', () => {
    const error = new PodlibError('ERR_TIMEOUT', 'late')
    expect(isPodlibError(error)).toBe(true)
    expect(isPodlibError(error, 'ERR_TIMEOUT')).toBe(true)
    expect(isPodlibError(error, 'ERR_INTERNAL')).toBe(false)
    expect(isPodlibError(Object.assign(new Error('late'), { code: 'ERR_TIMEOUT' }))).toBe(false)
    expect([undefined, null, 'text', 7].some((value) => isPodlibError(value))).toBe(false)
  })

  test('crosses a process border whole', () => {
    const error = new PodlibError('ERR_OCI_RUNTIME', 'cannot start', { details: { id: 'x' }, program: PROGRAM })
    const copy = fromWireError(structuredClone(toWireError(error)))
    expect(copy).toMatchObject({
      code: 'ERR_OCI_RUNTIME',
      kind: 'internal',
      message: 'cannot start',
      details: { id: 'x' },
      program: PROGRAM,
    })
  })

  test.each([
    ['ENOSPC', 'ERR_NO_SPACE'],
    ['EACCES', 'ERR_PERMISSION'],
    ['EIO', 'ERR_INTERNAL'],
  ])('is made of a foreign %s as %s, which keeps its code', (systemCode, code) => {
    const wire = toWireError(Object.assign(new Error('oops'), { code: systemCode }))
    expect(fromWireError(wire)).toMatchObject({ code, message: 'oops', details: { systemCode } })
  })

  test('shows itself as plain data, its cause by message only', () => {
    const error = new PodlibError('ERR_INTERNAL', 'outer', { cause: new Error('inner') })
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'PodlibError',
      code: 'ERR_INTERNAL',
      kind: 'internal',
      message: 'outer',
      details: {},
      cause: 'inner',
    })
  })
})

test('code and message are found in anything that is thrown', () => {
  expect(errorCode({ code: 'ENOENT' })).toBe('ENOENT')
  expect([undefined, null, 'x', { code: 7 }].map(errorCode)).toEqual([undefined, undefined, undefined, undefined])
  expect([new Error('a'), 'b', null, { message: 'c' }].map(errorMessage)).toEqual(['a', 'b', 'null', 'c'])
})
