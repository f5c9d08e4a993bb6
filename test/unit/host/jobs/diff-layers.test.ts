import { chmodSync, chownSync, linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { diffLayers } from '../../../../src/host/jobs/diff-layers.ts'
import { lsetxattr, makedev, mknod } from '../../../../src/host/sys/libc.ts'
import { temporaryDirectories } from '../../../helpers/temporary-directory.ts'

const S_IFCHR = 0o020000
const directory = temporaryDirectories()

/** A layer's tree: text makes a file, `null` a whiteout, a name that ends in `/` a directory, `!` an opaque one. */
function tree(content: Readonly<Record<string, string | null>>): string {
  const root = directory()
  for (const [name, text] of Object.entries(content)) {
    const path = join(root, name.replace(/!$/, ''))
    mkdirSync(dirname(path), { recursive: true })
    if (text === null) mknod(path, S_IFCHR, makedev(0, 0))
    else if (/[/!]$/.test(name)) mkdirSync(path, { recursive: true })
    else {
      writeFileSync(path, text)
      utimesSync(path, 1, 1)
    }
    if (name.endsWith('!')) lsetxattr(path, 'trusted.overlay.opaque', Buffer.from('y'))
  }
  return root
}

async function diff(from: readonly string[], to: readonly string[], signal = new AbortController().signal): Promise<string[]> {
  const changes = await diffLayers({ from, to, xattrPrefix: 'trusted' }, { signal })
  return changes.map(({ path, kind }) => `${kind[0]} ${path}`)
}

/** What an upper layer does to a lower one. */
const over = (upper: string, ...lowers: string[]) => diff(lowers, [upper, ...lowers])

describe('diffLayers', () => {
  test('tells what is added, changed and deleted, and directories whose names came or went', async () => {
    const lower = tree({ 'etc/a': '1', 'etc/b': '1', 'etc/c': '1', 'same/x': '1' })
    const upper = tree({ 'etc/a': '22', 'etc/b': null, 'etc/d': '1', 'new/deep/y': '1' })
    expect(await over(upper, lower)).toEqual(['c /etc', 'c /etc/a', 'd /etc/b', 'a /etc/d', 'a /new', 'a /new/deep', 'a /new/deep/y'])
  })

  test('leaves out what a layer has again unchanged, and tells of other content of the same size and time', async () => {
    const lower = tree({ 'a/same': 'abc', 'a/other': 'abc', link: '' })
    const upper = tree({ 'a/same': 'abc', 'a/other': 'abd' })
    expect(await over(upper, lower)).toEqual(['c /a/other'])
  })

  test('tells of owner, mode, attributes and targets', async () => {
    const [lower, upper] = [
      tree({ mode: '', owner: '', xattr: '', 'dir/': '', same: '' }),
      tree({ mode: '', owner: '', xattr: '', 'dir/': '', same: '' }),
    ]
    for (const [root, target] of [
      [lower, 'one'],
      [upper, 'two'],
    ] as const) {
      symlinkSync(target, join(root, 'link'))
      symlinkSync('same', join(root, 'kept'))
    }
    chmodSync(join(upper, 'mode'), 0o4755)
    chownSync(join(upper, 'owner'), 1, 2)
    lsetxattr(join(upper, 'xattr'), 'user.a', Buffer.from('b'))
    chmodSync(join(upper, 'dir'), 0o700)
    const changes = await over(upper, lower)
    // Symbolic links have the time at which they were made.
    expect(changes.filter((change) => change !== 'c /kept')).toEqual(['c /dir', 'c /link', 'c /mode', 'c /owner', 'c /xattr'])
  })

  test('one that is deleted stands for all below it, one that is opaque hides what was there', async () => {
    const lower = tree({ 'gone/a/b': '1', 'opaque/old': '1', 'opaque/kept': '1' })
    const upper = tree({ gone: null, 'opaque!': '', 'opaque/kept': '1', 'opaque/new': '1' })
    expect(await over(upper, lower)).toEqual(['d /gone', 'c /opaque', 'a /opaque/new', 'd /opaque/old'])
  })

  test('a file in place of a directory, and a directory in place of a file, are changes', async () => {
    const lower = tree({ 'one/below': '1', two: '1' })
    const upper = tree({ one: '1', 'two/below': '1' })
    expect(await over(upper, lower)).toEqual(['c /one', 'c /two', 'a /two/below'])
  })

  test('a directory that comes back after it was deleted has only what is above', async () => {
    const bottom = tree({ 'dir/old': '1' })
    const middle = tree({ dir: null })
    expect(await over(tree({ 'dir/new': '1' }), middle, bottom)).toEqual(['a /dir', 'a /dir/new'])
    expect(await diff([bottom], [middle, bottom])).toEqual(['d /dir'])
  })

  test('compares any two stacks, also with nothing', async () => {
    const [base, one, two] = [tree({ 'etc/base': '1' }), tree({ 'etc/one': '1' }), tree({ 'etc/two': '1', 'etc/base': null })]
    expect(await diff([one, base], [two, base])).toEqual(['c /etc', 'd /etc/base', 'd /etc/one', 'a /etc/two'])
    expect(await diff([], [one])).toEqual(['a /etc', 'a /etc/one'])
    expect(await diff([one, base], [])).toEqual(['d /etc'])
    expect(await diff([one, base], [one, base])).toEqual([])
  })

  test('hard links and whiteouts of what is not there are nothing special', async () => {
    const lower = tree({ a: '1' })
    const upper = tree({ nothing: null, a: '1' })
    linkSync(join(upper, 'a'), join(upper, 'b'))
    expect(await over(upper, lower)).toEqual(['a /b'])
  })

  test('shows names that are no text byte by byte', async () => {
    const upper = tree({})
    writeFileSync(Buffer.concat([Buffer.from(`${upper}/`), Buffer.from([0x61, 0xff, 0x5c])]), '')
    writeFileSync(join(upper, 'ümlaut'), '')
    expect(await over(upper, tree({}))).toEqual(['a /a\\xff\\x5c', 'a /ümlaut'])
  })

  test('stops when it is told to', async () => {
    await expect(diff([], [tree({ a: '1' })], AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
  })
})
