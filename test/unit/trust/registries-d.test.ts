import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { parseReference } from '../../../src/spec/reference.ts'
import { loadSignatureConfig, signatureStorageFor, signatureStorageOfScope } from '../../../src/trust/registries-d.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'podlib-registries-d-'))
})

afterEach(() => rm(directory, { recursive: true }))

const write = (name: string, text: string) => writeFile(join(directory, name), text)

test('sections of all files are merged, and a field that one leaves open is looked up in the next', async () => {
  await write('a.yaml', 'default-docker:\n  lookaside: file:///default\ndocker:\n  q.test:\n    use-sigstore-attachments: true\n')
  await write('b.yaml', 'docker:\n  q.test/team:\n    lookaside: https://sig.test/x\n    lookaside-staging: file:///stage\n')
  await write('c.yml', 'not: [read')
  const config = await loadSignatureConfig({ directory })
  const storageOf = (name: string) => signatureStorageFor(config, parseReference(name))
  expect(storageOf('q.test/team/app:1')).toEqual({
    lookaside: 'https://sig.test/x',
    lookasideStaging: 'file:///stage',
    useSigstoreAttachments: true,
  })
  expect(storageOf('q.test/other:1')).toEqual({ lookaside: 'file:///default', useSigstoreAttachments: true })
  expect(storageOf('r.test/other:1')).toEqual({ lookaside: 'file:///default', useSigstoreAttachments: undefined })
})

test('the most specific section wins, down to the tag', async () => {
  await write(
    'a.yaml',
    'docker:\n  q.test/x:1:\n    lookaside: file:///one\n  q.test/x:\n    lookaside: file:///x\n  "*.test":\n    lookaside: file:///wild\n',
  )
  const config = await loadSignatureConfig({ directory })
  const lookasideOf = (name: string) => signatureStorageFor(config, parseReference(name)).lookaside
  expect([lookasideOf('q.test/x:1'), lookasideOf('q.test/x:2'), lookasideOf('q.test/y'), lookasideOf('q.example/y')]).toEqual([
    'file:///one',
    'file:///x',
    'file:///wild',
    undefined,
  ])
})

test('a scope has what is configured for it, or for one that it lies in', async () => {
  await write(
    'a.yaml',
    'default-docker:\n  lookaside: file:///default\ndocker:\n  q.test:5000/team:\n    lookaside: file:///team\n  "*.test":\n    lookaside: file:///wild\n',
  )
  const config = await loadSignatureConfig({ directory })
  const lookasideOf = (scope: string) => signatureStorageOfScope(config, scope).lookaside
  for (const scope of [
    'q.test:5000/team',
    'q.test:5000/team/app',
    'q.test:5000/team/app:1',
    `q.test:5000/team/app@sha256:${'0'.repeat(64)}`,
  ])
    expect(lookasideOf(scope)).toBe('file:///team')
  expect(['q.test:5000', 'q.test', '*.test', '*.q.test', 'q.test/x'].map(lookasideOf)).toEqual(Array(5).fill('file:///wild'))
  expect(['', 'localhost:5000', 'q.example/team'].map(lookasideOf)).toEqual(Array(3).fill('file:///default'))
})

test('the old name of lookaside is known', async () => {
  await write('a.yaml', 'default-docker: {sigstore: "file:///old"}')
  expect(signatureStorageFor(await loadSignatureConfig({ directory }), parseReference('q.test/x')).lookaside).toBe('file:///old')
})

test("the user's directory replaces the system's, and none is an empty configuration", async () => {
  const own = join(directory, '.config/containers/registries.d')
  await mkdir(own, { recursive: true })
  await writeFile(join(own, 'a.yaml'), 'default-docker: {lookaside: "file:///mine"}')
  expect((await loadSignatureConfig({ home: directory })).defaultDocker?.lookaside).toBe('file:///mine')
  expect((await loadSignatureConfig({ directory: join(directory, 'none') })).docker.size).toBe(0)
})

describe('a configuration is refused', () => {
  test.each([
    [
      'when two files have one scope',
      ['docker: {q.test: {lookaside: "file:///a"}}', 'docker: {q.test: {lookaside: "file:///b"}}'],
      /configured in .*0\.yaml already/,
    ],
    [
      'when two files have a default',
      ['default-docker: {lookaside: "file:///a"}', 'default-docker: {lookaside: "file:///a"}'],
      /default-docker/,
    ],
    ['when a file has one scope twice', ['docker:\n  q.test: {}\n  q.test: {}\n'], /unique/i],
    ['when it is not YAML', ['docker: [}'], /0\.yaml/],
    ['when a section is a list', ['docker: []'], /must be a mapping/],
    ['when a lookaside is a number', ['default-docker: {lookaside: 1}'], /must be a string/],
    ['when a switch is a string', ['default-docker: {use-sigstore-attachments: "yes"}'], /true or false/],
    [
      'when it expands without end',
      [
        `a: &a [x,x]\n${[...'bcdefghijklm'].map((name, i) => `${name}: &${name} [*${'abcdefghijkl'[i]},*${'abcdefghijkl'[i]}]\n`).join('')}docker: {}`,
      ],
      /alias/i,
    ],
  ])('%s', async (_, files, reason) => {
    for (const [index, text] of files.entries()) await write(`${index}.yaml`, text)
    await expect(loadSignatureConfig({ directory })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringMatching(reason),
    })
  })
})
