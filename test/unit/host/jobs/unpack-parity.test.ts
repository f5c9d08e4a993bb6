import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { lsetxattr, makedev, mknod, utimensat } from '../../../../src/host/sys/libc.ts'
import { layerBench } from '../../../helpers/layers.ts'
import { treeFacts } from '../../../helpers/tree-listing.ts'

const bench = layerBench()

const KINDS = ['file', 'file', 'directory', 'directory', 'symlink', 'hard-link', 'fifo', 'character', 'block', 'sparse'] as const

const node = fc.record({
  kind: fc.constantFrom(...KINDS),
  // Which of the directories made so far it goes into.
  parent: fc.nat(),
  name: fc.oneof(
    fc.stringMatching(/^[a-zA-Z0-9 ._-]{1,20}$/),
    fc.stringMatching(/^[a-z]{90,200}$/),
    fc.constantFrom('ß', 'ss', 'e\u0301', '\u00e9', 'new\nline', 'back\\slash', '*'),
  ),
  mode: fc.nat(0o7777),
  uid: fc.constantFrom(0, 1, 1000, 65_534, 2_097_152, 4_000_000_000),
  gid: fc.constantFrom(0, 5, 3_000_000),
  seconds: fc.integer({ min: -2_000_000_000, max: 9_000_000_000 }),
  nanoseconds: fc.nat(999_999_999),
  content: fc.uint8Array({ maxLength: 3000 }),
  xattrs: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxKeys: 2 }),
})
type RandomNode = typeof node extends fc.Arbitrary<infer T> ? T : never

test.each([
  ['pax', []],
  ['pax', ['--sparse', '--sparse-version=1.0']],
  ['pax', ['--sparse', '--sparse-version=0.0']],
  ['pax', ['--sparse', '--sparse-version=0.1']],
  ['gnu', ['--sparse']],
])('a random tree in %s format %j comes out as from GNU tar and is re-assembled', async (format, options) => {
  await fc.assert(
    fc.asyncProperty(fc.array(node, { maxLength: 25 }), async (nodes) => {
      const work = mkdtempSync(join(bench.path, 'parity-'))
      makeTree(join(work, 'in'), nodes)
      const archive = join(work, 'tar')
      // gnu format holds neither attributes nor fractions: GNU tar switches to pax when told to keep them.
      const attributes = format === 'pax' ? ['--xattrs', '--xattrs-include=*'] : []
      execFileSync(
        'tar',
        [`--format=${format}`, ...options, ...attributes, '--numeric-owner', '-C', join(work, 'in'), '-cf', archive, '.'],
        { stdio: 'pipe' },
      )
      mkdirSync(join(work, 'gnu'))
      execFileSync('tar', ['-x', '-p', '--numeric-owner', ...attributes, '-C', join(work, 'gnu'), '-f', archive], { stdio: 'pipe' })
      const bytes = readFileSync(archive)
      const layer = await bench.unpack(bytes)
      expect(treeFacts(layer.fs)).toEqual(treeFacts(join(work, 'gnu')))
      expect((await bench.tarOf(layer.directory)).equals(bytes)).toBe(true)
      rmSync(work, { recursive: true })
      rmSync(layer.directory, { recursive: true })
    }),
    { numRuns: 12 },
  )
})

function makeTree(root: string, nodes: readonly RandomNode[]): void {
  mkdirSync(root)
  const directories = [root]
  const files: string[] = []
  const made: { path: string; node: RandomNode }[] = []
  const taken = new Set<string>(['.', '..'])
  for (const random of nodes) {
    const parent = directories[random.parent % directories.length] as string
    const path = join(parent, random.name)
    if (random.name === '.' || random.name === '..' || taken.has(path) || path.length > 3000) continue
    taken.add(path)
    if (!makeNode(path, random, { directories, files })) continue
    made.push({ path, node: random })
  }
  // Deepest last made, so attributes go on backwards: times of directories stay.
  for (const { path, node: random } of made.reverse()) applyAttributes(path, random)
}

function makeNode(path: string, { kind, content, parent }: RandomNode, known: { directories: string[]; files: string[] }): boolean {
  if (kind === 'directory') {
    mkdirSync(path)
    known.directories.push(path)
  } else if (kind === 'file' || kind === 'sparse') {
    writeFileSync(path, content)
    if (kind === 'sparse') {
      truncateSync(path, 200_000)
      writeFileSync(path, content, { flag: 'a' })
      truncateSync(path, 400_000)
    }
    known.files.push(path)
  } else if (kind === 'symlink') symlinkSync(content.length > 1500 ? `/${'long/'.repeat(40)}` : '/absolute/target', path)
  else if (kind === 'hard-link') {
    const target = known.files[parent % Math.max(1, known.files.length)]
    if (target === undefined) return false
    linkSync(target, path)
    return false
  } else
    mknod(path, { fifo: 0o010000, character: 0o020000, block: 0o060000 }[kind] | 0o600, kind === 'fifo' ? 0n : makedev(7, parent % 200))
  return true
}

function applyAttributes(path: string, random: RandomNode): void {
  const { kind, mode, uid, gid, seconds, nanoseconds, xattrs } = random
  lchownSync(path, uid, gid)
  if (kind !== 'symlink') chmodSync(path, mode)
  if (kind === 'file' || kind === 'directory' || kind === 'sparse') {
    for (const [name, value] of Object.entries(xattrs)) lsetxattr(path, `user.${name}`, value)
  }
  const time = { seconds, nanoseconds }
  utimensat(path, time, time, { nofollow: true })
}
