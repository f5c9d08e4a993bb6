import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseChallenges } from '../../../src/registry/challenge.ts'

const read = (header: string | string[] | undefined) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

test.each<[string, string | string[] | undefined, unknown]>([
  ['nothing', undefined, []],
  ['an empty header', '', []],
  ['a scheme alone', 'Negotiate', [['negotiate', {}]]],
  ['Basic', 'Basic realm="x"', [['basic', { realm: 'x' }]]],
  [
    'a Bearer challenge',
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
    [['bearer', { realm: 'https://auth.example/token', service: 'registry.example', scope: 'repository:a/b:pull,push' }]],
  ],
  ['words instead of strings', 'bearer realm=abc , Service=d', [['bearer', { realm: 'abc', service: 'd' }]]],
  [
    'escapes and commas in strings',
    'Basic realm="a\\"b, Digest x=\\\\", charset="UTF-8"',
    [['basic', { realm: 'a"b, Digest x=\\', charset: 'UTF-8' }]],
  ],
  [
    'several in one header',
    'Basic realm="a", Bearer realm="b",service="c", Negotiate',
    [
      ['basic', { realm: 'a' }],
      ['bearer', { realm: 'b', service: 'c' }],
      ['negotiate', {}],
    ],
  ],
  [
    'several headers',
    ['Basic realm="a"', 'Bearer realm="b"'],
    [
      ['basic', { realm: 'a' }],
      ['bearer', { realm: 'b' }],
    ],
  ],
  [
    'a token68',
    'NTLM TlRMTVNTUAAC==, Basic realm="a"',
    [
      ['ntlm', {}],
      ['basic', { realm: 'a' }],
    ],
  ],
  [
    'empty list elements and odd spaces',
    ' ,, Basic \t realm = "a" ,,Bearer  realm="b",',
    [
      ['basic', { realm: 'a' }],
      ['bearer', { realm: 'b' }],
    ],
  ],
  ['the first of two equal names', 'Bearer realm="a",REALM="b"', [['bearer', { realm: 'a' }]]],
  [
    'what precedes an unclosed string',
    'Basic realm="a", Bearer realm="b',
    [
      ['basic', { realm: 'a' }],
      ['bearer', {}],
    ],
  ],
  ['what precedes a stray character', 'Basic realm="a" "b"', [['basic', { realm: 'a' }]]],
])('reads %s', (_name, header, expected) => {
  expect(read(header)).toEqual(expected)
})

test('reads back any challenge that is written by the grammar', () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/)
  const challenge = fc.tuple(token, fc.dictionary(token, fc.string(), { minKeys: 1, maxKeys: 4, noNullPrototype: true }))
  fc.assert(
    fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
      const quote = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`
      const header = challenges.map(
        ([scheme, members]) =>
          `${scheme} ${Object.entries(members)
            .map(([name, value]) => `${name}=${quote(value)}`)
            .join(', ')}`,
      )
      expect(read(header.join(', '))).toEqual(challenges)
    }),
  )
})

test('ends on any input', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('"', '\\', ',', '=', ' ', 'a', 'Basic', '\t', 'é') }), (text) =>
      Array.isArray(parseChallenges(text)),
    ),
  )
})
