import { describe, expect, test } from '@jest/globals'
import { endpointsFor, resolveShortName } from '../../../src/registry/endpoints.ts'
import {
  EMPTY_REGISTRIES_CONF,
  mergeRegistriesConf,
  parseRegistriesConf,
  type RegistriesConf,
} from '../../../src/registry/registries-conf.ts'
import { digestOf } from '../../../src/spec/digest.ts'
import { parseReference } from '../../../src/spec/reference.ts'

const DIGEST = digestOf('x')
const conf = async (text: string): Promise<RegistriesConf> =>
  mergeRegistriesConf(EMPTY_REGISTRIES_CONF, await parseRegistriesConf(text, 'test.conf'))
async function places(text: string, name: string): Promise<string[]> {
  const endpoints = endpointsFor(await conf(text), parseReference(name))
  return endpoints.map(
    ({ registry, repository, insecure, mirror }) => `${registry}/${repository}${insecure ? ' insecure' : ''}${mirror ? ' mirror' : ''}`,
  )
}

describe('endpointsFor', () => {
  test.each<[string, string, string, string[]]>([
    ['nothing configured', '', 'example.com/a:1', ['example.com/a']],
    ['another host', '[[registry]]\nlocation = "example.org"\ninsecure = true', 'example.com/a', ['example.com/a']],
    ['a host', '[[registry]]\nlocation = "example.com"\ninsecure = true', 'example.com/a/b', ['example.com/a/b insecure']],
    ['a host with port', '[[registry]]\nlocation = "example.com"\ninsecure = true', 'example.com:5000/a', ['example.com:5000/a insecure']],
    ['a longer host name', '[[registry]]\nlocation = "example.co"\ninsecure = true', 'example.com/a', ['example.com/a']],
    ['a rewrite', '[[registry]]\nprefix = "example.com/a"\nlocation = "other.io/x/y"', 'example.com/a/b:1', ['other.io/x/y/b']],
    [
      'a rewrite of the whole name',
      '[[registry]]\nprefix = "example.com/a/b"\nlocation = "other.io/c"',
      'example.com/a/b:1',
      ['other.io/c'],
    ],
    [
      'a prefix that ends inside a component',
      '[[registry]]\nprefix = "example.com/a"\nlocation = "other.io"',
      'example.com/ab',
      ['example.com/ab'],
    ],
    ['a tag', '[[registry]]\nprefix = "example.com/a:1"\nlocation = "other.io/b"', 'example.com/a:1', ['other.io/b']],
    ['another tag', '[[registry]]\nprefix = "example.com/a:1"\nlocation = "other.io/b"', 'example.com/a:11', ['example.com/a']],
    ['a digest', `[[registry]]\nprefix = "example.com/a@${DIGEST}"\nlocation = "other.io/b"`, `example.com/a@${DIGEST}`, ['other.io/b']],
    [
      'a wildcard without rewrite',
      '[[registry]]\nprefix = "*.example.com"\ninsecure = true',
      'a.b.example.com:5000/x',
      ['a.b.example.com:5000/x insecure'],
    ],
    ['a wildcard with rewrite', '[[registry]]\nprefix = "*.example.com"\nlocation = "other.io/y"', 'a.example.com/x', ['other.io/y/x']],
    ['a wildcard and the domain itself', '[[registry]]\nprefix = "*.example.com"\ninsecure = true', 'example.com/x', ['example.com/x']],
    [
      'a wildcard and a path',
      '[[registry]]\nprefix = "*.example.com"\ninsecure = true',
      'other.io/a.example.com/x',
      ['other.io/a.example.com/x'],
    ],
    [
      'the longest of several',
      '[[registry]]\nlocation = "example.com"\n[[registry]]\nprefix = "example.com/a"\nlocation = "other.io"',
      'example.com/a/b',
      ['other.io/b'],
    ],
    ['Docker Hub', '[[registry]]\nprefix = "docker.io"\nlocation = "mirror.io/hub"', 'docker.io/alpine', ['mirror.io/hub/library/alpine']],
  ])('with %s', async (_name, text, name, expected) => {
    expect(await places(text, name)).toEqual(expected)
  })

  const MIRRORS = `
    [[registry]]
    location = "example.com"
    [[registry.mirror]]
    location = "all.io/m"
    insecure = true
    [[registry.mirror]]
    location = "digest.io"
    pull-from-mirror = "digest-only"
    [[registry.mirror]]
    location = "tag.io"
    pull-from-mirror = "tag-only"`

  test('puts the mirrors that serve tags or digests before the registry', async () => {
    expect(await places(MIRRORS, 'example.com/a:1')).toEqual(['all.io/m/a insecure mirror', 'tag.io/a mirror', 'example.com/a'])
    expect(await places(MIRRORS, `example.com/a@${DIGEST}`)).toEqual(['all.io/m/a insecure mirror', 'digest.io/a mirror', 'example.com/a'])
    expect(await places(MIRRORS, `example.com/a:1@${DIGEST}`)).toContain('digest.io/a mirror')
  })

  test('refuses what is blocked, naming the rule', async () => {
    const text = '[[registry]]\nlocation = "example.com"\nblocked = true\n[[registry]]\nlocation = "example.com/ok"'
    await expect(places(text, 'example.com/a')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_BLOCKED',
      kind: 'denied',
      details: { prefix: 'example.com' },
    })
    expect(await places(text, 'example.com/ok/a')).toEqual(['example.com/ok/a'])
  })

  test('names the location that gives no valid name', async () => {
    await expect(places('[[registry]]\nprefix = "example.com"\nlocation = "UPPER/../x"', 'example.com/a')).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
    })
  })
})

describe('resolveShortName', () => {
  const names = async (text: string, name: string) => resolveShortName(await conf(text), name)

  test('takes an alias, with tag and digest of the name', async () => {
    const text = 'unqualified-search-registries = ["quay.io"]\n[aliases]\nalpine = "docker.io/library/alpine"\n"a/b" = "quay.io/c/d"'
    expect(await names(text, 'alpine')).toEqual({ candidates: ['docker.io/library/alpine'], from: 'alias' })
    expect(await names(text, 'alpine:3.20')).toEqual({ candidates: ['docker.io/library/alpine:3.20'], from: 'alias' })
    expect(await names(text, `a/b:1@${DIGEST}`)).toEqual({ candidates: [`quay.io/c/d:1@${DIGEST}`], from: 'alias' })
    expect(await names(text, 'b')).toEqual({ candidates: ['quay.io/b'], from: 'search' })
  })

  test('takes the only search registry, and several only when told', async () => {
    expect(await names('unqualified-search-registries = ["quay.io"]', 'a:1')).toEqual({ candidates: ['quay.io/a:1'], from: 'search' })
    const two = 'unqualified-search-registries = ["quay.io", "docker.io"]'
    await expect(names(two, 'a')).rejects.toMatchObject({ code: 'ERR_SHORT_NAME', details: { candidates: ['quay.io/a', 'docker.io/a'] } })
    for (const mode of ['permissive', 'disabled']) {
      expect((await names(`${two}\nshort-name-mode = "${mode}"`, 'a')).candidates).toEqual(['quay.io/a', 'docker.io/a'])
    }
  })

  test('uses no alias in mode disabled', async () => {
    const text = 'short-name-mode = "disabled"\nunqualified-search-registries = ["quay.io"]\n[aliases]\na = "docker.io/x/a"'
    expect((await names(text, 'a')).candidates).toEqual(['quay.io/a'])
  })

  test('never guesses', async () => {
    await expect(names('', 'alpine')).rejects.toThrow("'alpine' names no registry; write it in full, as in 'docker.io/library/alpine'")
    for (const name of ['constructor', 'tostring']) await expect(names('', name)).rejects.toMatchObject({ code: 'ERR_SHORT_NAME' })
    await expect(names('', 'a b')).rejects.toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
  })

  test('leaves a full name as it is', async () => {
    expect((await names('', 'quay.io/a:1')).candidates).toEqual(['quay.io/a:1'])
  })
})
