import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../src/errors/errors.ts'
import { formatReference, isShortName, parseReference } from '../../../src/spec/reference.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

describe('parseReference', () => {
  test.each([
    ['docker.io/library/alpine:3.20', 'docker.io', 'library/alpine', '3.20'],
    ['docker.io/alpine', 'docker.io', 'library/alpine', 'latest'],
    ['index.docker.io/alpine', 'docker.io', 'library/alpine', 'latest'],
    ['localhost/app', 'localhost', 'app', 'latest'],
    ['localhost:5000/a/b-c/d__e:T_1.2', 'localhost:5000', 'a/b-c/d__e', 'T_1.2'],
    ['[::1]:5000/app:1', '[::1]:5000', 'app', '1'],
    ['Registry/app:1', 'Registry', 'app', '1'],
  ])('reads %s', (text, registry, repository, tag) => {
    expect(parseReference(text)).toEqual({ registry, repository, name: `${registry}/${repository}`, tag, digest: undefined })
  })

  test('keeps a digest and does not invent a tag beside it', () => {
    const reference = parseReference(`example.com/app@${DIGEST}`)
    expect(reference).toMatchObject({ tag: undefined, digest: DIGEST })
    expect(formatReference(reference)).toBe(`example.com/app@${DIGEST}`)
  })

  test.each(['alpine', 'library/alpine:3', 'alpine:3.20'])('refuses the short name %s', (text) => {
    expect(isShortName(text)).toBe(true)
    expect(code(() => parseReference(text))).toBe('ERR_SHORT_NAME')
    expect(parseReference(text, { defaultRegistry: 'docker.io' }).registry).toBe('docker.io')
  })

  test.each([
    'example.com/UPPER',
    'example.com/a/../b',
    'example.com/a?x',
    'example.com/a#x',
    'example.com/a%0d%0a',
    'example.com/a\r\nX: y',
    'example.com//a',
    'example.com/a:',
    `example.com/a:${'t'.repeat(129)}`,
    'example.com/a@sha256:abc',
    `example.com/a@sha256:${'A'.repeat(64)}`,
    `example.com/${'f'.repeat(64)}`,
    `example.com/${'a/'.repeat(140)}b`,
    'exa_mple.com/a',
    '.com/a',
  ])('refuses %j', (text) => {
    expect(code(() => parseReference(text))).toBe('ERR_INVALID_REFERENCE')
  })
})

function code(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    return isPodlibError(error) ? error.code : String(error)
  }
  return undefined
}
