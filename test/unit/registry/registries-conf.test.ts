import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import {
  EMPTY_REGISTRIES_CONF,
  loadRegistriesConf,
  parseRegistriesConf,
  registriesConfPaths,
} from '../../../src/registry/registries-conf.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const parse = (text: string) => parseRegistriesConf(text, '/etc/test.conf')

test('reads every setting of version 2', async () => {
  const conf = await parse(`
    unqualified-search-registries = ["quay.io", "docker.io/"]
    credential-helpers = ["containers-auth.json", "secretservice"]
    short-name-mode = "permissive"
    [[registry]]
    prefix = "example.com/foo"
    location = "internal.example.com/bar/"
    insecure = true
    blocked = true
    [[registry.mirror]]
    location = "mirror-a.example.com/bar"
    pull-from-mirror = "tag-only"
    [[registry.mirror]]
    location = "mirror-b.example.com"
    insecure = true
    [[registry]]
    location = "plain.example.com"
    mirror-by-digest-only = true
    [[registry.mirror]]
    location = "mirror-c.example.com"
    [[registry]]
    prefix = "*.example.org"
    [aliases]
    "alpine" = "docker.io/library/alpine"
    [something-new]
    x = 1
  `)
  const off = { insecure: false, blocked: false }
  expect(conf).toEqual({
    unqualifiedSearchRegistries: ['quay.io', 'docker.io'],
    credentialHelpers: ['containers-auth.json', 'secretservice'],
    shortNameMode: 'permissive',
    aliases: { alpine: 'docker.io/library/alpine' },
    registries: [
      {
        prefix: 'example.com/foo',
        location: 'internal.example.com/bar',
        insecure: true,
        blocked: true,
        mirrors: [
          { location: 'mirror-a.example.com/bar', insecure: false, pullFromMirror: 'tag-only' },
          { location: 'mirror-b.example.com', insecure: true, pullFromMirror: 'all' },
        ],
      },
      {
        prefix: 'plain.example.com',
        location: 'plain.example.com',
        ...off,
        mirrors: [{ location: 'mirror-c.example.com', insecure: false, pullFromMirror: 'digest-only' }],
      },
      { prefix: '*.example.org', location: undefined, ...off, mirrors: [] },
    ],
  })
})

test.each([
  ['[registries.search]\nregistries = []', /version 1/],
  ['x = ', /is not TOML/],
  ['[[registry]]\nblocked = true', /neither prefix nor location/],
  ['[[registry]]\nprefix = "a.com"', /no location for the prefix 'a.com'/],
  ['[[registry]]\nlocation = "https://a.com"', /leave out the scheme/],
  ['[[registry]]\nprefix = "*.a.com/x"\nlocation = "b.com"', /wildcard/],
  ['[[registry]]\nprefix = "a.*.com"\nlocation = "b.com"', /wildcard/],
  ['[[registry]]\nlocation = "a.com"\ninsecure = "yes"', /neither true nor false/],
  ['[[registry]]\nlocation = "a.com"\n[[registry.mirror]]\ninsecure = true', /mirror without location/],
  ['[[registry]]\nlocation = "a.com"\n[[registry.mirror]]\nlocation = "b.com"\npull-from-mirror = "never"', /pull-from-mirror/],
  [
    '[[registry]]\nlocation = "a.com"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "b.com"\npull-from-mirror = "all"',
    /sets both/,
  ],
  ['unqualified-search-registries = "a"', /list of strings/],
  ['short-name-mode = "ask"', /short-name-mode/],
  ['aliases = 3', /tables/],
  ['[aliases]\na = 1', /alias 'a'/],
  ['registry = 3', /tables/],
])('refuses %j and names the file', async (text, message) => {
  await expect(parse(text)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID', details: { path: '/etc/test.conf' } })
  await expect(parse(text)).rejects.toThrow(message)
})

describe('loadRegistriesConf', () => {
  function files(contents: Record<string, string>): string {
    const base = directory()
    mkdirSync(join(base, 'conf.d'))
    for (const [name, text] of Object.entries(contents)) writeFileSync(join(base, name), text)
    return base
  }
  const load = (base: string) => loadRegistriesConf([join(base, 'system.conf'), join(base, 'user.conf'), join(base, 'conf.d')])

  test('is empty and safe when nothing is configured', async () => {
    expect(await load(directory())).toEqual(EMPTY_REGISTRIES_CONF)
  })

  test('takes the last main file alone, and puts drop-ins over it in the order of their names', async () => {
    const base = files({
      'system.conf': 'unqualified-search-registries = ["system.io"]\nshort-name-mode = "disabled"',
      'user.conf':
        'unqualified-search-registries = ["user.io"]\n[[registry]]\nlocation = "a.com"\n[[registry]]\nlocation = "b.com"\n[aliases]\nx = "a.com/x"\ny = "a.com/y"',
      'conf.d/20.conf': '[[registry]]\nlocation = "a.com"\nblocked = true\n[aliases]\nx = "b.com/x"',
      'conf.d/10.conf': '[[registry]]\nlocation = "a.com"\ninsecure = true\n[aliases]\ny = ""\nz = "c.com/z"',
      'conf.d/ignored.txt': 'x = ',
    })
    const conf = await load(base)
    expect(conf).toMatchObject({
      unqualifiedSearchRegistries: ['user.io'],
      shortNameMode: 'enforcing',
      aliases: { x: 'b.com/x', z: 'c.com/z' },
      registries: [{ prefix: 'b.com' }, { prefix: 'a.com', blocked: true, insecure: false }],
    })
    expect(Object.keys(conf.aliases)).toEqual(['x', 'z'])
  })

  test('knows where the files are', () => {
    expect(registriesConfPaths({ CONTAINERS_REGISTRIES_CONF: '/x.conf' }, '/home/a')).toEqual(['/x.conf'])
    expect(registriesConfPaths({}, '/home/a')).toEqual([
      '/etc/containers/registries.conf',
      '/home/a/.config/containers/registries.conf',
      '/etc/containers/registries.conf.d',
      '/home/a/.config/containers/registries.conf.d',
    ])
  })
})
