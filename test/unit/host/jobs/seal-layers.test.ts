import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { IMPLIED_ROOT, OPAQUE_ROOT } from '../../../../src/archive/layer-files.ts'
import { sealLayers } from '../../../../src/host/jobs/seal-layers.ts'
import { mount, umount2 } from '../../../../src/host/sys/libc.ts'
import { layerBench } from '../../../helpers/layers.ts'
import { type TarBlock, tar } from '../../../helpers/tar-builder.ts'
import { type FileFacts, treeFacts } from '../../../helpers/tree-listing.ts'

const bench = layerBench()

const directory = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o755, ...more })
const MARKED: TarBlock = {
  mode: 0o2750,
  uid: 7,
  gid: 8,
  pax: [
    ['mtime', '1000.000000123'],
    ['SCHILY.xattr.user.mark', 'm'],
  ],
}
const LIKE_MARKED = { mode: '2750', uid: 7, gid: 8, mtimeNs: 1_000_000_000_123n, xattrs: { 'user.mark': Buffer.from('m').toString('hex') } }
const PLAIN = { mode: '755', uid: 0, gid: 0, xattrs: {} }

interface Sealed {
  /** What overlay makes of the stack, with what corrects it. */
  readonly merged: Map<string, FileFacts>
  readonly isCorrected: boolean
}

let count = 0

/** Seals a stack, bottom first. The layers themselves must not change by that. */
async function sealed(...layers: readonly TarBlock[][]): Promise<Sealed> {
  const directories: string[] = []
  for (const blocks of layers) {
    const layer = await bench.unpack(tar(...blocks))
    if (layer.opaqueRoot) writeFileSync(join(layer.directory, OPAQUE_ROOT), '')
    if (!layer.hasRootEntry) writeFileSync(join(layer.directory, IMPLIED_ROOT), '')
    directories.push(layer.directory)
  }
  const facts = () => directories.map((path) => treeFacts(path))
  const before = facts()
  const [staged, target] = [join(bench.path, 'staged'), join(bench.path, 'corrections', String(count++))]
  for (let turn = 0; turn < 2; turn++) sealLayers({ layers: directories, corrections: { staged, target } })
  expect(existsSync(staged)).toBe(false)
  expect(facts()).toEqual(before)
  const isCorrected = existsSync(target)
  const bottom = directories.findLastIndex((path) => existsSync(join(path, OPAQUE_ROOT)))
  const visible = directories.slice(Math.max(0, bottom)).reverse()
  const lowers = [...(isCorrected ? [target] : []), ...visible].map((path) => join(path, 'fs'))
  return { merged: mergedFacts([...lowers, emptyDirectory(), emptyDirectory()]), isCorrected }
}

function emptyDirectory(): string {
  return mkdtempSync(join(bench.path, 'empty-'))
}

function mergedFacts(lowers: readonly string[]): Map<string, FileFacts> {
  const target = emptyDirectory()
  mount({ source: 'test', target, type: 'overlay', flags: 1n, data: `lowerdir=${lowers.join(':')}` })
  try {
    return treeFacts(target)
  } finally {
    umount2(target)
  }
}

describe('a directory that a layer has files in but no entry for', () => {
  test('becomes what it is below, at whatever depth, with times and attributes', async () => {
    const { merged: tree } = await sealed(
      [directory('./', MARKED), directory('a/', MARKED), directory('a/b/', MARKED)],
      [],
      [{ name: 'a/b/c/x' }],
    )
    for (const name of ['.', 'a', 'a/b']) expect([name, tree.get(name)]).toEqual([name, expect.objectContaining(LIKE_MARKED)])
    expect(tree.get('a/b/c')).toMatchObject(PLAIN)
  })

  test('becomes what it is below also where it is opaque itself', async () => {
    const { merged } = await sealed([directory('a/', MARKED), { name: 'a/x' }], [{ name: 'a/.wh..wh..opq' }, { name: 'a/y' }])
    expect(merged.get('a')).toMatchObject(LIKE_MARKED)
    expect([...merged.keys()]).toEqual(['.', 'a', 'a/y'])
  })

  const below = [directory('a/', MARKED), directory('a/b/', MARKED)]
  test.each<[string, TarBlock[][]]>([
    ['a whiteout', [[{ name: 'a/.wh.b' }]]],
    ['a whiteout of its parent', [[{ name: '.wh.a' }]]],
    ['a file', [[{ name: 'a/b' }]]],
    ['a file in place of its parent', [[{ name: 'a' }]]],
    ['a link in place of its parent', [[{ name: 'a', type: '2', linkName: 'elsewhere' }]]],
    ['an opaque parent', [[directory('a/'), { name: 'a/.wh..wh..opq' }]]],
    ['an opaque root', [[{ name: '.wh..wh..opq' }]]],
    ['an opaque parent and then a plain one', [[directory('a/'), { name: 'a/.wh..wh..opq' }], [directory('a/')]]],
  ])('is a new one where %s hides the old', async (_, between) => {
    const { merged } = await sealed(below, ...between, [directory('a/'), { name: 'a/b/x' }])
    expect(merged.get('a/b')).toMatchObject(PLAIN)
  })

  test.each<[string, TarBlock[]]>([
    ['parent', [directory('a/'), { name: 'a/.wh..wh..opq' }, { name: 'a/b/x' }]],
    ['root', [{ name: '.wh..wh..opq' }, { name: 'a/b/x' }]],
  ])('is a new one where its own %s is opaque', async (_, top) => {
    expect((await sealed(below, top)).merged.get('a/b')).toMatchObject(PLAIN)
  })

  test('does not come back where a layer above hides it or has an entry for it', async () => {
    const hidden = await sealed(below, [{ name: 'a/b/x' }], [{ name: '.wh.a' }])
    expect([[...hidden.merged.keys()], hidden.isCorrected]).toEqual([['.'], false])
    const emptied = await sealed(below, [{ name: 'a/b/x' }], [directory('a/'), { name: 'a/.wh..wh..opq' }])
    expect([[...emptied.merged.keys()], emptied.isCorrected]).toEqual([['.', 'a'], false])
    const replaced = await sealed(below, [{ name: 'a/b/x' }], [{ name: 'a', content: 'a file' }])
    expect([[...replaced.merged.keys()], replaced.isCorrected]).toEqual([['.', 'a'], false])
    const entered = await sealed(below, [{ name: 'a/b/x' }], [directory('a/', { uid: 9 }), directory('a/b/', { uid: 9 })])
    expect([entered.merged.get('a/b')?.uid, entered.isCorrected]).toEqual([9, false])
  })

  test('leads through directories that stay as they show', async () => {
    const { merged } = await sealed(below, [directory('a/', { uid: 9, mtime: 5 }), { name: 'a/b/x' }])
    expect(merged.get('a')).toMatchObject({ uid: 9, mtimeNs: 5_000_000_000n })
    expect(merged.get('a/b')).toMatchObject(LIKE_MARKED)
  })
})

test('a stack without such directories gets no layer more', async () => {
  expect((await sealed([directory('./'), directory('a/'), { name: 'a/x' }], [directory('a/'), { name: 'a/y' }])).isCorrected).toBe(false)
  expect((await sealed([{ name: 'new/x' }], [{ name: 'other/y' }])).isCorrected).toBe(false)
  expect((await sealed([])).isCorrected).toBe(false)
})
