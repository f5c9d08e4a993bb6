import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { isMapped, mapsEverything, overlap, parseIdMap, rootlessMapping, subordinateRanges } from '../../../src/host/id-map.ts'

describe('subordinate ranges', () => {
  const user = { name: 'ann', id: 1000 }

  test('are those of the user, by name or number, in the order of the file', () => {
    const text = 'bob:1:2\nann:100000:65536\n1000:300000:10\nannabel:5:5\n10001:6:6\n'
    expect(subordinateRanges(text, user)).toEqual([
      { first: 100000, size: 65536 },
      { first: 300000, size: 10 },
    ])
  })

  test('that make no sense are passed over', () => {
    expect(subordinateRanges('ann:x:1\nann:1\nann::5\nann:1:0\nann:1:-1\n\n# ann:1:2\nann\n', user)).toEqual([])
  })

  test('of any text are whole and positive', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('ann', '1000', 'x'), fc.string(), fc.string())), (lines) => {
        const ranges = subordinateRanges(lines.map((fields) => fields.join(':')).join('\n'), user)
        for (const { first, size } of ranges) expect(Number.isSafeInteger(first) && Number.isSafeInteger(size) && size > 0).toBe(true)
      }),
    )
  })
})

describe('a rootless mapping', () => {
  test('makes the user root and lines the ranges up behind', () => {
    const ranges = [
      { first: 100000, size: 65536 },
      { first: 300000, size: 10 },
    ]
    expect(rootlessMapping(1000, ranges)).toEqual([
      { inside: 0, outside: 1000, size: 1 },
      { inside: 1, outside: 100000, size: 65536 },
      { inside: 65537, outside: 300000, size: 10 },
    ])
  })

  test('has no outer id twice', () => {
    expect(overlap(rootlessMapping(1000, [{ first: 2000, size: 10 }]))).toBeUndefined()
    expect(overlap(rootlessMapping(2009, [{ first: 2000, size: 10 }]))).toBeDefined()
    expect(overlap(rootlessMapping(2010, [{ first: 2000, size: 10 }]))).toBeUndefined()
    const twice = overlap(
      rootlessMapping(1, [
        { first: 50, size: 10 },
        { first: 45, size: 6 },
      ]),
    )
    expect(twice?.map(({ outside }) => outside)).toEqual([45, 50])
  })
})

describe('the mapping of a process', () => {
  const text = '         0      54321          1\n         1 1000000000      65536\n'

  test('is read from its columns', () => {
    expect(parseIdMap(text)).toEqual([
      { inside: 0, outside: 54321, size: 1 },
      { inside: 1, outside: 1000000000, size: 65536 },
    ])
    expect(parseIdMap('')).toEqual([])
  })

  test('says which ids exist', () => {
    const mapping = parseIdMap(text)
    expect([0, 1, 65536, 65537].map((id) => isMapped(id, mapping))).toEqual([true, true, true, false])
  })

  test('is that of the first namespace when it maps everything', () => {
    expect(mapsEverything(parseIdMap('0 0 4294967295'))).toBe(true)
    expect(mapsEverything(parseIdMap(text))).toBe(false)
    expect(mapsEverything([])).toBe(false)
  })
})
