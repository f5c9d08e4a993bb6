import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { treeUsage } from '../../../../src/host/jobs/tree-usage.ts'
import { temporaryDirectories } from '../../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const MEGABYTE = 1 << 20
const { signal } = new AbortController()

test('counts each file once whatever its names, and nothing at the other end of a link', async () => {
  const tree = directory()
  const elsewhere = directory()
  writeFileSync(join(elsewhere, 'big'), Buffer.alloc(4 * MEGABYTE, 1))
  mkdirSync(join(tree, 'a/b'), { recursive: true })
  writeFileSync(Buffer.concat([Buffer.from(join(tree, 'a/b/')), Buffer.from([0xff])]), Buffer.alloc(MEGABYTE, 1))
  writeFileSync(join(tree, 'one'), Buffer.alloc(MEGABYTE, 1))
  linkSync(join(tree, 'one'), join(tree, 'a/two'))
  symlinkSync(elsewhere, join(tree, 'a/link'))
  const bytes = await treeUsage({ path: tree }, { signal })
  expect(bytes).toBeGreaterThanOrEqual(2 * MEGABYTE)
  expect(bytes).toBeLessThan(2.5 * MEGABYTE)
})

test('is nothing where nothing is, and ends when it is told to', async () => {
  expect(await treeUsage({ path: '/nowhere/at/all' }, { signal })).toBe(0)
  await expect(treeUsage({ path: directory() }, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
})
