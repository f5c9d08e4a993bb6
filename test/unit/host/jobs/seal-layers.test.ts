import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { IMPLIED_ROOT, OPAQUE_ROOT } from '../../../../src/archive/layer-files.ts'
import { sealLayers } from '../../../../src/host/jobs/seal-layers.ts'
import { LayerBench } from '../../../helpers/layers.ts'
import { type TarBlock, tar } from '../../../helpers/tar-builder.ts'
import { type FileFacts, treeFacts } from '../../../helpers/tree-listing.ts'

let bench: LayerBench
beforeAll(() => {
  bench = new LayerBench()
})
afterAll(() => bench.remove())

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

/** The tree of the top layer of a stack, bottom first, after sealing. */
async function sealed(...layers: readonly TarBlock[][]): Promise<Map<string, FileFacts>> {
  const directories: string[] = []
  for (const blocks of layers) {
    const layer = await bench.unpack(tar(...blocks))
    if (layer.opaqueRoot) writeFileSync(join(layer.directory, OPAQUE_ROOT), '')
    if (!layer.hasRootEntry) writeFileSync(join(layer.directory, IMPLIED_ROOT), '')
    directories.push(layer.directory)
  }
  sealLayers({ layers: directories, root: bench.path })
  return treeFacts(join(directories.at(-1) as string, 'fs'))
}

describe('a directory that a layer has files in but no entry for', () => {
  test('becomes what it is below, at whatever depth, with times and attributes', async () => {
    const tree = await sealed([directory('./', MARKED), directory('a/', MARKED), directory('a/b/', MARKED)], [], [{ name: 'a/b/c/x' }])
    for (const name of ['.', 'a', 'a/b']) expect([name, tree.get(name)]).toEqual([name, expect.objectContaining(LIKE_MARKED)])
    expect(tree.get('a/b/c')).toMatchObject(PLAIN)
  })

  test('becomes what it is below also where it is opaque itself', async () => {
    const tree = await sealed([directory('a/', MARKED)], [{ name: 'a/.wh..wh..opq' }])
    expect(tree.get('a')).toMatchObject({ ...LIKE_MARKED, xattrs: { ...LIKE_MARKED.xattrs, 'trusted.overlay.opaque': '79' } })
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
    const tree = await sealed(below, ...between, [directory('a/'), { name: 'a/b/x' }])
    expect(tree.get('a/b')).toMatchObject(PLAIN)
  })

  test.each<[string, TarBlock[]]>([
    ['parent', [directory('a/'), { name: 'a/.wh..wh..opq' }, { name: 'a/b/x' }]],
    ['root', [{ name: '.wh..wh..opq' }, { name: 'a/b/x' }]],
  ])('is a new one where its own %s is opaque', async (_, top) => {
    expect((await sealed(below, top)).get('a/b')).toMatchObject(PLAIN)
  })
})
