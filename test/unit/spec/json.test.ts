import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseStrictJson } from '../../../src/spec/json.ts'

const what = 'document'

describe('parseStrictJson', () => {
  test('reads what JSON.parse reads, for any document without duplicate keys', () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 0, max: 3 }), (text, indent) => {
        const spaced = JSON.stringify(JSON.parse(text), null, indent)
        fc.pre(!spaced.includes('__proto__'))
        expect(parseStrictJson(spaced, { what, maxDepth: 100 })).toEqual(JSON.parse(spaced))
      }),
    )
  })

  test.each([
    '{"a":1,"a":2}',
    '{"x":[{"a":1,"b":{"c":[]},"a":2}]}',
    '{"a":1,"\\u0061":2}',
    '{"a\\"":1,"a\\"":2}',
    '{"a" : "}{,\\"", "b":[1,{"a":2}],\n"a": 2}',
  ])('refuses the duplicate key in %s', (text) => {
    expect(() => parseStrictJson(text, { what })).toThrow(/the document names the member .* twice/)
  })

  test('compares keys without regard to case only when told, and never in free maps', () => {
    const text = '{"a":1,"A":2}'
    expect(parseStrictJson(text, { what })).toEqual({ a: 1, A: 2 })
    expect(() => parseStrictJson(text, { what, ignoreCase: true })).toThrow(/twice/)
    const nested = '{"annotations":{"a":"1","A":"2"}}'
    expect(() => parseStrictJson(nested, { what, ignoreCase: true })).toThrow(/twice/)
    expect(parseStrictJson(nested, { what, ignoreCase: true, freeMaps: new Set(['annotations']) })).toEqual(JSON.parse(nested))
  })

  test("folds the two letters outside ASCII that Go's reader folds", () => {
    for (const variant of ['{"layers":1,"layer\u017f":2}', '{"k":1,"\u212a":2}']) {
      expect(() => parseStrictJson(variant, { what, ignoreCase: true })).toThrow(/twice/)
    }
  })

  test('does not take a string in an array or a value for a key', () => {
    const text = '{"a":["b","b",{"c":"a"}],"b":"a","c":["a","a"]}'
    expect(parseStrictJson(text, { what })).toEqual(JSON.parse(text))
  })

  test('refuses __proto__, also when escaped, and changes no prototype', () => {
    expect(() => parseStrictJson('{"__proto__":{"polluted":1}}', { what })).toThrow(/__proto__/)
    expect(() => parseStrictJson('{"a":{"\\u005f_proto__":1}}', { what })).toThrow(/__proto__/)
    expect('polluted' in {}).toBe(false)
  })

  test('bounds nesting, cheaply for a million brackets', () => {
    expect(parseStrictJson('[[[]]]', { what, maxDepth: 3 })).toEqual([[[]]])
    expect(() => parseStrictJson('[[[[]]]]', { what, maxDepth: 3 })).toThrow(/nested more than 3 levels/)
    const deep = '['.repeat(1_000_000) + ']'.repeat(1_000_000)
    expect(() => parseStrictJson(deep, { what })).toThrow()
  })

  test('says what is no JSON, with the code asked for', () => {
    expect(() => parseStrictJson('{', { what, code: 'ERR_CREDENTIALS' })).toThrow(
      expect.objectContaining({ code: 'ERR_CREDENTIALS', message: expect.stringContaining('the document is not JSON') }),
    )
  })
})
