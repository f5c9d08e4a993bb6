import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { buildNames, buildPath, checkBuildOptions, findBuildFiles } from '../../../../src/image/build/checks.ts'
import type { BuildOptions } from '../../../../src/image/build/options.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'build-checks-'))
  for (const name of ['Dockerfile', 'other']) writeFileSync(join(directory, name), 'FROM scratch')
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('options that no build can have are refused, with a reason', () => {
  const cases: [unknown, RegExp][] = [
    [{ tag: 'a' }, /unknown option 'tag'/],
    [{ network: 'bridge' }, /network is none or host/],
    [{ isolation: 'rootless' }, /isolation is oci or chroot/],
    [{ squash: 1 }, /squash is/],
    [{ pull: 'maybe' }, /pull is always or missing or newer or never/],
    [{ args: { '--squash': 'x' } }, /"--squash" is no name for one of the args/],
    [{ args: { A: 1 } }, /A of the args/],
    [{ labels: { 'a=b': 'c' } }, /labels/],
    [{ env: { 'A B': 'c' } }, /env/],
    [{ env: { A: 'c\0' } }, /A of the env/],
    [{ secrets: { 'a,src=/etc/shadow': 'x' } }, /secrets/],
    [{ contexts: { 'a=b': { image: 'c' } } }, /contexts/],
    [{ target: 'a b' }, /is no name of a stage/],
    [{ createdAt: new Date('never') }, /createdAt/],
    [{ format: 'docker', annotations: { a: 'b' } }, /only images of format oci/],
  ]
  for (const [options, message] of cases) expect(() => checkBuildOptions(options as BuildOptions)).toThrow(message)
  expect(() => checkBuildOptions({ name: 'No Name' })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_REFERENCE' }))
  checkBuildOptions({ args: { A: '--b\n', HTTP_PROXY: '' }, labels: { '--a': 'b=c' }, secrets: { a: 'x\0y' }, squash: 'all' })
})

test('names are given in full', () => {
  expect(buildNames({})).toEqual([])
  expect(buildNames({ name: 'app' })).toEqual(['localhost/app:latest'])
  expect(buildNames({ name: ['app:1', 'example.com/a:2'] })).toEqual(['localhost/app:1', 'example.com/a:2'])
})

test('a Containerfile is looked for in the context, and nowhere without one', async () => {
  expect(await findBuildFiles({ context: directory })).toMatchObject({ containerfile: { path: join(directory, 'Dockerfile') } })
  const found = await findBuildFiles({ context: directory, containerfile: 'other', contexts: { more: directory, image: { image: 'a' } } })
  expect(found).toMatchObject({ context: directory, containerfile: { path: join(directory, 'other') } })
  expect([...found.directories]).toEqual([['more', directory]])
  await expect(findBuildFiles({ containerfile: '/a' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  await expect(findBuildFiles({ context: join(directory, 'other') })).rejects.toThrow(/is no directory/)
  await expect(findBuildFiles({ context: directory, ignoreFile: '/nowhere' })).rejects.toThrow(/ignoreFile/)
  await expect(findBuildFiles({ context: directory, containerfile: 'none' })).rejects.toMatchObject({ code: 'ERR_CONTAINERFILE_NOT_FOUND' })
})

test('a store at a path that options cannot hold is not built in', () => {
  expect(buildPath('/a', 'b')).toBe('/a/b')
  for (const path of ['/a,b', '/a:b', '/a b', '/a"']) expect(() => buildPath(path)).toThrow(/choose another root/)
})
